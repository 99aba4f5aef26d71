"""The training loop: one page, top to bottom."""

from .training_run import TrainingRun


def train(run: TrainingRun) -> None:
    """Train until the last step, or until validation has stalled for good.

    Raises:
        DivergedError: a gradient is not finite; the rows that caused it are saved.
        OSError: the disk is full; what was saved before stays as it is.
    """
    while run.state.step < run.steps and not run.state.stopped:
        run.begin_stages_that_are_due()
        run.seed_step()
        batches = run.plan.batches(run.state.step)
        sizes = run.sizes(batches)

        for batch in batches if sizes else ():  # else only frozen parts have rows here
            with run.gradients(last=batch is batches[-1]):
                rows = run.own_share(batch)
                # One encoder pass over the rows of all tasks, each row to its own heads.
                share = 1 / (len(batches) * run.processes)
                loss, losses = run.model(run.train_batches(rows), sizes, share)
                # The processes' gradients are averaged, but the losses are parts of one sum.
                run.accelerator.backward(loss * run.processes)
                run.note_losses(loss, losses, len(batch))

        run.check_finite(run.clip_gradients(), batches)
        run.optimizer.step()
        run.optimizer.zero_grad(set_to_none=True)
        run.rates.step()
        run.state.step += 1

        run.log_step_if_due()
        if run.validation_is_due():
            run.keep_if_best(run.validate())
            run.react_to_stall()
        run.save_if_due()

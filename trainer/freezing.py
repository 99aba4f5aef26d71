"""What of a network is trained, and what stays as it is."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from ..model.layers import after_layers, layers_of
from ..model.network import Network
from .errors import RecipeError
from .history import Part


@dataclass(frozen=True)
class NamedPart:
    """Parameters that are frozen or trained together."""

    name: str
    height: int | None
    """0 for the embeddings and what all layers share (relative positions, for example), n for the
    nth layer, one more for what follows the highest; None for a head."""
    parameters: Sequence[nn.Parameter]
    modules: Sequence[nn.Module]

    @property
    def trained(self) -> bool:
        """Whether it gets gradients."""
        return any(parameter.requires_grad for parameter in self.parameters)


def parts_of(network: Network) -> list[NamedPart]:
    """All parts of a network that take part in its answers, from the embeddings up.

    Raises:
        ConfigError: the layers of the encoder cannot be told.
    """
    encoder = network.encoder
    layers = layers_of(encoder)
    upper = [(f"layer {number}", number, layer) for number, layer in enumerate(layers, start=1)]
    upper += [("final norm", len(layers) + 1, module) for module in after_layers(encoder)]
    parts = [NamedPart(name, height, list(top.parameters()), [top]) for name, height, top in upper]
    # BERT's pooler is read by nothing here.
    pooler = getattr(getattr(encoder, "transformer", None), "pooler", None)
    elsewhere = [*(top for _, _, top in upper), *([pooler] if pooler is not None else [])]
    known = {id(parameter) for module in elsewhere for parameter in module.parameters()}
    inside = {id(module) for top in elsewhere for module in top.modules()}
    embeddings = NamedPart(
        "embeddings",
        0,
        [parameter for parameter in encoder.parameters() if id(parameter) not in known],
        # The innermost: what is around the layers must not take them along.
        [m for m in encoder.modules() if id(m) not in inside and not list(m.children())],
    )
    heads = [
        NamedPart(f"head {task.name}", None, list(head.parameters()), [head])
        for task in network.config.tasks
        for head in [network.heads[task.name]]
    ]
    return [embeddings, *parts, *heads]


def freeze(network: Network, rules: Sequence[str]) -> tuple[Part, ...]:
    """Freeze what the rules name, and train everything else.

    Frozen parts get no gradient, and stay in evaluation mode (no dropout) while others train.

    Raises:
        RecipeError: a rule names a layer or a task that the network does not have, or nothing is
            left to train.
    """
    parts = parts_of(network)
    frozen = {name for rule in rules for name in _named_by(rule, parts)}
    if frozen == {part.name for part in parts}:
        raise RecipeError(f"freezing: {', '.join(rules)} leaves nothing to train")
    network.requires_grad_(False)
    for part in parts:
        for parameter in part.parameters:
            parameter.requires_grad_(part.name not in frozen)
    return tuple(
        Part(part.name, sum(p.numel() for p in part.parameters), part.name not in frozen)
        for part in parts
    )


def set_modes(network: Network) -> None:
    """Training mode for what is trained, evaluation mode for what is frozen."""
    network.eval()
    for part in parts_of(network):
        for module in part.modules:
            module.train(part.trained)


def frozen_layers(network: Network) -> int | None:
    """How many layers are frozen from below, together with the embeddings.

    Returns:
        0 to one less than there are; None when all of the encoder is frozen.
    """
    count = 0
    for part in parts_of(network):
        if part.height is None:
            return None
        if part.trained:
            break
        count = part.height
    # Where all layers are frozen but what follows them is not, the highest still has to run.
    return min(count, len(layers_of(network.encoder)) - 1)


def _named_by(rule: str, parts: Sequence[NamedPart]) -> list[str]:
    kind, _, argument = rule.partition(":")
    layers = sum(part.name.startswith("layer ") for part in parts)
    if kind == "head":
        if f"head {argument}" not in {part.name for part in parts}:
            raise RecipeError(f"freezing: {rule}: the model has no such task")
        return [f"head {argument}"]
    if kind in ("below", "top") and int(argument) > layers:
        raise RecipeError(f"freezing: {rule}: the encoder has {layers} layers")
    if kind == "all":
        return [part.name for part in parts]
    # What follows the highest layer is trained with it.
    highest = {"encoder": layers + 1, "top:0": layers + 1}.get(rule)
    if highest is None:
        highest = int(argument) if kind == "below" else layers - int(argument)
    return [part.name for part in parts if part.height is not None and part.height <= highest]

"""`twinhead health`: whether a worker serves, as an exit code."""

import sys

import click

from .channel import DEFAULT_TARGET, Access
from .connection_options import access_options


@click.command()
@click.option(
    "--worker",
    default=DEFAULT_TARGET,
    show_default=True,
    envvar="TWINHEAD_WORKER",
    show_envvar=True,
    help="Address of the worker, host:port.",
)
@access_options
@click.option(
    "--service",
    default="",
    help="Full name of one of its services, such as twinhead.v1.InferenceService. Default: the "
    "worker as a whole.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.01),
    default=3.0,
    show_default=True,
    help="Seconds to wait for its answer.",
)
@click.option("-v", "--verbose", is_flag=True, help="Also say it in words, on standard error.")
def health(worker: str, access: Access, service: str, timeout: float, verbose: bool) -> None:
    """Exit with 0 if a worker serves, else with 1: for probes of containers.

    A worker that starts, drains, or whose model does not answer does not serve. No token is
    needed.
    """
    # Here, so that --help needs no gRPC.
    import grpc
    from grpc_health.v1 import health_pb2

    # One call, without the generated stub and our retries: a probe is to be quick, and honest.
    with access.channel(worker) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString,
        )
        try:
            status = check(
                health_pb2.HealthCheckRequest(service=service),
                timeout=timeout,
                metadata=tuple(access.metadata),
            ).status
        except grpc.RpcError as error:
            call = error  # what is raised is the call itself
            said = f"{call.code().name}: {call.details()}"  # pyright: ignore[reportAttributeAccessIssue]
            serves = False
        else:
            said = health_pb2.HealthCheckResponse.ServingStatus.Name(status)
            serves = status == health_pb2.HealthCheckResponse.SERVING
    if verbose:
        click.echo(f"{worker}: {said}", err=True)
    sys.exit(0 if serves else 1)

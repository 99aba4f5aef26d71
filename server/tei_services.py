"""The services of `tei.v1`, the gRPC API of text-embeddings-inference."""

import functools

import grpc
from twinhead.protocols import tei_service_pb2 as tei
from twinhead.protocols import tei_service_pb2_grpc as tei_grpc

from .pipeline import Pipeline
from .tei_embed import EmbedService
from .tei_errors import refusing
from .tei_info import InfoService
from .tei_predict import PredictService
from .tei_tokenize import TokenizeService

TEI_SERVICES = tuple(
    tei.DESCRIPTOR.services_by_name[name].full_name
    for name in ("Info", "Embed", "Predict", "Tokenize")
)
"""Full names of those that answer."""
# Of the one that does not answer; gRPC's own word that it is not here would lack our details. (As
# a stream, whose messages are read only when they are asked for: these would be of any size.)
_RERANK = grpc.method_handlers_generic_handler(
    tei.DESCRIPTOR.services_by_name["Rerank"].full_name,
    dict.fromkeys(
        ("Rerank", "RerankStream"),
        grpc.stream_unary_rpc_method_handler(functools.partial(refusing("re-ranking"), None)),
    ),
)


def add_tei_services(server: grpc.aio.Server, pipeline: Pipeline) -> None:
    """Let a server answer by them."""
    tei_grpc.add_InfoServicer_to_server(InfoService(pipeline), server)
    tei_grpc.add_EmbedServicer_to_server(EmbedService(pipeline), server)
    tei_grpc.add_PredictServicer_to_server(PredictService(pipeline), server)
    tei_grpc.add_TokenizeServicer_to_server(TokenizeService(pipeline), server)
    server.add_generic_rpc_handlers((_RERANK,))

"""The engine interface: what there is fulfils it."""

from debug_model import debug_model
from twinhead.server.engines.engine import Engine, EngineOutput


def test_the_torch_engine_is_an_engine():
    engine: Engine = debug_model().engine
    output = engine.encode([[2, 5, 3]], ["size"])
    assert isinstance(output, EngineOutput)
    assert (engine.name, engine.precision, engine.device) == ("torch", "float32", "cpu")

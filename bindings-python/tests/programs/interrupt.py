"""Waits for an item that does not come, and goes on when it is interrupted."""

from trust_engine import Engine

with Engine(storage={"memory": True}) as engine:
    follow = engine.log().follow()
    try:
        print("waiting", flush=True)
        next(follow)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    # The subscription goes on where it stood, and so does the engine.
    id = engine.record("ALERT", "a", "RAISED").id
    assert next(follow)["id"] == str(id)
    follow.close()
    assert list(follow) == []
    assert engine.evaluate_gate("a", "READER").recorded == "committed"
print("done")

"""Waits for an item that does not come, and goes on when it is interrupted."""

from trust_engine import Engine

with Engine(storage={"memory": True}) as engine:
    follow = engine.log().follow()
    try:
        print("waiting", flush=True)
        next(follow)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    follow.close()
    # The subscription is over; the engine is not.
    assert list(follow) == []
    with engine.log().follow() as another:
        id = engine.record("ALERT", "a", "RAISED").id
        assert next(another)["id"] == str(id)
    assert engine.evaluate_gate("a", "READER").recorded == "committed"
print("done")

"""Forks with an open engine: the child is refused it, and opens one of its own."""

import os
import sys

from trust_engine import Engine, ForkedError

folder = sys.argv[1]
engine = Engine(storage={"embedded": folder})
verdict = engine.decide_gate("a", "READER")
quota = engine.quota("a")
_, reservation = engine.reserve("a", "API_CALLS", 1)
follow = engine.log().follow()
agents, log = engine.agents(), engine.log()
# The last of an engine that is gone.
orphans = [Engine(storage={"memory": True}).quota("a"), Engine(storage={"memory": True}).log().follow()]

child = os.fork()
if child == 0:
    status = 1
    try:
        for use in (
            lambda: engine.decide_gate("a", "READER"),
            lambda: engine.evaluate_gate("a", "READER"),
            lambda: engine.check_ceiling("a", "API_CALLS", 1),
            lambda: engine.check_ceiling_now("a", "API_CALLS", 1),
            lambda: engine.record("ALERT", "a", "RAISED"),
            lambda: engine.call("agents.list"),
            lambda: engine.close(),
            lambda: agents.page(),
            lambda: log.verify(),
            lambda: next(follow),
            lambda: verdict.committed(),
            lambda: quota.try_take("API_CALLS", 1),
            lambda: reservation and reservation.void(),
        ):
            try:
                use()
            except ForkedError as error:
                assert error.code == "TE_FORKED"
                assert isinstance(error, RuntimeError)
                assert "open an engine in the child" in str(error)
            else:
                # A reservation that was refused has nothing to be settled.
                assert reservation is None, "the child could use the engine of its parent"
        # What is known of the verdict is known in the child too.
        assert verdict.decision == "DENY"
        with Engine(storage={"memory": True}) as own:
            assert own.evaluate_gate("a", "READER").recorded == "committed"
            grandchild = os.fork()
            if grandchild == 0:
                try:
                    own.decide_gate("a", "READER")
                except ForkedError:
                    os._exit(7)
                os._exit(1)
            assert os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]) == 7
        # Objects of the parent's engine may go in the child.
        del orphans, engine, quota, reservation, follow, verdict, agents, log
        status = 0
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", flush=True)
    finally:
        sys.stdout.flush()
        os._exit(status)

assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "the child has failed"
# The parent goes on.
receipt = verdict.committed()
assert receipt is not None
assert engine.evaluate_gate("a", "READER").recorded == "committed"
assert log.verify() == []
follow.close()
engine.close()
print("done")

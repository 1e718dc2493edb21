"""Runs Ganeti's own QA on the master node, and writes down what became of each test.

    inside.py GANETI_CODE TESTSUITE CONFIGURATION RECORD

QA ends at the first test that fails; here the next one follows, but where the failed one's result
is needed. RECORD gets one line of JSON for each test as soon as it ends.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
import traceback
from pathlib import Path
from typing import Any

CODE, TESTSUITE, CONFIGURATION, RECORD = sys.argv[1:5]
sys.path[0:1] = [f"{TESTSUITE}/qa", TESTSUITE, CODE]
# These make what the tests after them work on.
_NEEDED = ("TestInstanceAdd", "TestInstanceExport", "TestInstanceImport")


def load() -> Any:
    """The program ganeti-qa.py as a module."""
    spec = importlib.util.spec_from_file_location("ganeti_qa", f"{TESTSUITE}/qa/ganeti-qa.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    qa = load()
    run_test = qa.RunTest
    now_with: list[str] = [""]  # the disk template of the instance that is tested

    def recorded(fn: Any, *arguments: Any, **options: Any) -> Any:
        name = fn.__name__
        if name.startswith("TestInstanceAdd"):
            now_with[0] = name.removeprefix("TestInstanceAdd").lower()
        begin, why, result = time.monotonic(), "", None
        try:
            result = run_test(fn, *arguments, **options)
        except Exception as err:
            traceback.print_exc(file=sys.stdout)
            why = " ".join(str(err).split()) or type(err).__name__
            if name.startswith(_NEEDED):
                raise
        finally:
            seconds = round(time.monotonic() - begin, 1)
            line = {"test": name, "with": now_with[0], "why": why, "seconds": seconds}
            line["passed"] = not (why or sys.exc_info()[0])
            with Path(RECORD).open("a") as record:
                record.write(json.dumps(line) + "\n")
        if name.startswith("TestInstanceRemove"):
            now_with[0] = ""
        sys.stdout.flush()
        return result

    qa.RunTest = recorded
    sys.argv[1:] = ["--yes-do-it", CONFIGURATION]
    qa.main()


if __name__ == "__main__":
    main()

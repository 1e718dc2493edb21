"""Runs inside the interpreter that is asked, given as text: which KVM module does Ganeti get?

It cannot import the rest of the package, which that interpreter may not see. Arguments: the
directory that holds Ganeti's code ("" for none), and "1" to find out what enabling would give.
The answer is one line of JSON, the last on stdout.
"""

from __future__ import annotations

import json
import site
import sys


def hook_file() -> str | None:
    """Give the path of the `.pth` file that enables the package here, or None."""
    import os

    directories = site.getsitepackages()
    if site.ENABLE_USER_SITE:
        directories.append(site.getusersitepackages())
    paths = [os.path.join(directory, "ganeti-hv-kvm.pth") for directory in directories]
    return next((path for path in paths if os.path.exists(path)), None)


def describe(error: Exception) -> str:
    """Give an error in one line."""
    return f"{type(error).__name__}: {error}"


def look_at_package(answer: dict[str, object], as_if_enabled: bool) -> None:
    """Find our package, its version and whether its native part loads."""
    try:
        import ganeti_hv_kvm
        from ganeti_hv_kvm import activation, installation
    except Exception as err:
        answer["package_error"] = describe(err)
        return
    answer["package"] = ganeti_hv_kvm.__path__[0]
    try:
        answer["package_version"] = ganeti_hv_kvm.__version__
        installation.check()
        from ganeti_hv_kvm import _native

        installation.check_versions(_native.__version__)
        answer["native"] = _native.__file__
    except Exception as err:
        answer["native_error"] = describe(err)
    if as_if_enabled:
        activation.install()


def look_at_ganeti(answer: dict[str, object]) -> None:
    """Let Ganeti choose its KVM module, and see which one it took."""
    try:
        from ganeti import constants, hypervisor

        answer["ganeti_version"] = constants.RELEASE_VERSION
        answer["ganeti"] = constants.__file__
        chosen = hypervisor.GetHypervisorClass("kvm")
        answer["class_module"] = chosen.__module__
        report = getattr(chosen, "_ReportUnknownParameters", None)
        answer["unknown_parameters"] = report and report()
        answer["module_file"] = sys.modules["ganeti.hypervisor.hv_kvm"].__file__
    except Exception as err:
        answer["ganeti_error"] = describe(err)
    activation = sys.modules.get("ganeti_hv_kvm.activation")
    finder = activation.installed() if activation else None
    if finder is not None and finder.failure:
        answer["failure"] = finder.failure


def look_at_settings(answer: dict[str, object]) -> None:
    """Find the cluster's settings file and what is wrong in it."""
    if "native" not in answer or "ganeti_error" in answer:
        return  # nothing would read it
    try:
        from ganeti_hv_kvm.hv_kvm.ganeti import parameters, settings, settings_file

        answer["settings_file"] = settings_file.PATH if settings_file.content().exists else None
        answer["settings_problems"] = settings.problems()
        answer["unknown_parameters"] = list(parameters.UNKNOWN)
    except Exception as err:
        answer["settings_error"] = describe(err)


def main(ganeti_directory: str, as_if_enabled: bool) -> None:
    """Print the answer."""
    sys.path[:1] = [ganeti_directory] if ganeti_directory else []
    answer: dict[str, object] = {
        "python": sys.executable,
        "prefix": sys.prefix,
        "enabled": any(hasattr(finder, "ganeti_hv_kvm") for finder in sys.meta_path),
        "hook_file": hook_file(),
    }
    # Ganeti first: the package must not be helped by having been imported.
    if as_if_enabled:
        look_at_package(answer, as_if_enabled)
        look_at_ganeti(answer)
    else:
        look_at_ganeti(answer)
        look_at_package(answer, as_if_enabled)
    look_at_settings(answer)
    print(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] == "1")

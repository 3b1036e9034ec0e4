"""The debugger's frame: its commands, on dumps and on a live machine, against what nm, readelf, QMP and COM1 say."""

from kdhelp import dump, kd, live, serial_of, verdict_of        # noqa: F401


def test_bugcheck_names_code_and_parameters(dump, kd):
    path = dump("story")
    verdict = verdict_of(path)
    text = kd(path, ".bugcheck")
    assert f"Bugcheck code {int(verdict['code'], 16):08X}" in text
    for parameter in verdict["p"]:
        assert f"{parameter[2:10]}`{parameter[10:]}".lower() in text

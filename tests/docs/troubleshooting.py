"""Writes the page of symptoms: `python -m tests.docs.troubleshooting`."""

import re
from itertools import starmap
from typing import Final

from smarty_gateway.doctor.kinds import KINDS, LUXEMBOURG_CONTACTS, Code, FindingKind
from tests.support.commands import ROOT

PAGE: Final = ROOT / "docs/troubleshooting.md"

_HEAD: Final = """\
# Troubleshooting

Look for what you see, or let [doctor](doctor.md) look: it names what it finds by the word in brackets. Stop
the gateway first if it runs (`sudo systemctl stop smarty-gateway`): two programs cannot read one port.

```sh
smarty-gateway doctor /dev/ttyUSB0 --keys keys.yaml
```

In Docker: `docker compose stop gateway`, then `docker compose run --rm gateway doctor /dev/ttyUSB0`. As an
app of Home Assistant the gateway says in its tab *Log* what is wrong, and its tab *Configuration* stands for
gateway.yaml and keys.yaml.

{contents}
<!-- made by `python -m tests.docs.troubleshooting` from smarty_gateway/doctor/kinds.py -->
"""

#: What doctor does not see.
_OTHERS: Final = {
    "Readings come, but not where they should be": (
        (
            "Home Assistant shows no device, or entities are *unavailable*",
            "[Home Assistant: when nothing appears](home-assistant.md#when-nothing-appears)",
        ),
        (
            "a message about the broker: refused, not trusted, no answer, the connection broke",
            "[Mosquitto: when something is wrong](mosquitto.md#when-something-is-wrong)",
        ),
        (
            "`another client uses the same client id …`",
            "Two gateways on one broker need a `topic:` each in gateway.yaml.",
        ),
        (
            "the page or `healthcheck` says that an output is `offline`, `failing` or `refused`",
            "Its line in the log says what to do; [what the states mean](reference.md#outputs).",
        ),
        (
            "`the influxdb output: …`, or Grafana shows nothing",
            "[InfluxDB: when it is away](influxdb.md#when-influxdb-is-away)",
        ),
        (
            "a program gets no telegrams from the TCP port or the serial port of the gateway",
            "[Telegrams: what to expect](telegrams.md#what-to-expect)",
        ),
        (
            "`nobody listens on the udp port of …`, or Loxone shows nothing",
            "[Loxone: when nothing arrives](loxone.md#when-nothing-arrives)",
        ),
        (
            "`the files output: …`, or files are missing",
            "[Files: when something is wrong](files.md#when-something-is-wrong)",
        ),
        (
            "`the Domoticz output: …`, or a sensor in Domoticz stays empty",
            "[Domoticz: what to know](domoticz.md#what-to-know-of-b-and-c)",
        ),
        (
            "openHAB, Node-RED or Telegraf show nothing",
            "Their recipes are in [this folder](README.md).",
        ),
    ),
    "It cannot be installed or does not start": (
        ("`… because ensurepip is not available`", "Type `sudo apt-get install python3-venv`."),
        (
            "pip: `externally-managed-environment`",
            "Use [pipx](install.md#debian-12-and-ubuntu) or [venv](install.md#any-linux-with-python).",
        ),
        (
            "apt: `… Depends: python3-cryptography (>= 42) but …`",
            "The system is older than Debian 13: use [pipx](install.md#debian-12-and-ubuntu).",
        ),
        (
            "pip asks for a compiler, or fails to build cffi, cryptography or PyYAML",
            "The system is a 32-bit one: [what you need](install.md#what-you-need).",
        ),
        (
            "`smarty-gateway: command not found`",
            (
                "[Install it for good](install.md), or go to the folder of the project and type "
                '`export PATH="$PWD/.venv/bin:$PATH"`.'
            ),
        ),
        (
            "the service ends with status 78 and is not started again",
            "[systemd: later](systemd.md#later)",
        ),
        (
            "the command is gone, or finds no module, after an upgrade of the system",
            "[Make the environment anew](install.md#upgrade).",
        ),
    ),
}

#: The heading above the first finding of each group; they end where the next one begins.
_GROUPS: Final = {
    "silent": "Nothing comes",
    "missing": "The port or the bridge",
    "inverted": "Bytes come, but no telegrams",
    "no-key": "Keys, and frames that are rejected",
    "damaged": "Some telegrams are missing",
    "configuration": "The files",
}


def page() -> str:
    """Return the page, as Markdown."""
    shown = [kind for kind in KINDS.values() if kind.code is not Code.HEALTHY]
    body = "".join(map(_section, shown)) + "".join(starmap(_table, _OTHERS.items()))
    headings = re.findall(r"^## (.+)$", body, re.MULTILINE)
    contents = "".join(f"* [{heading}](#{_anchor(heading)})\n" for heading in headings)
    return _HEAD.format(contents=contents) + body


def _table(heading: str, rows: tuple[tuple[str, str], ...]) -> str:
    lines = "".join(f"| {symptom} | {advice} |\n" for symptom, advice in rows)
    return f"\n## {heading}\n\n| what you see | what to do |\n| --- | --- |\n{lines}"


def _anchor(heading: str) -> str:
    return heading.lower().replace(",", "").replace(" ", "-")


def _section(kind: FindingKind) -> str:
    heading = f"\n## {_GROUPS[kind.id]}\n" if kind.id in _GROUPS else ""
    advice = kind.advice.replace(LUXEMBOURG_CONTACTS, "[Who hands it out](operators.md).")
    return f"{heading}\n### {kind.symptom}\n\n{kind.meaning}\n\n**What to do:** {advice} (`{kind.code}`)\n"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")

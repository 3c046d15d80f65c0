"""The Debian package: built, checked, installed, used, upgraded, removed and purged in a bare Debian 13."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from smarty_gateway import __version__
from tests.support.commands import ROOT

#: A slow mirror: the packages that the build needs are 130 MB.
LIMIT = 600
PACKAGE = f"smarty-gateway_{__version__}_all.deb"
#: Process 1 of namespaces of its own: mounts and processes vanish with it.
ENTER = """
set -e
root=$1; shift
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null:1:3 zero:1:5 random:1:8 urandom:1:9 tty:5:0; do
  IFS=: read -r name major minor <<<"$device"
  mknod -m 666 "$root/dev/$name" c "$major" "$minor"
done
mkdir "$root/dev/pts"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t proc proc "$root/proc"
exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
  DEBIAN_FRONTEND=noninteractive SOURCE_DATE_EPOCH=1767225600 "$@"
"""
APT = "apt-get -qq -y --no-install-recommends -o Dpkg::Options::=--force-unsafe-io -o Dpkg::Use-Pty=0"
#: A simulated meter on a port, `setup` as root, and the gateway with the files of the service.
FIRST_READING = """
set -e
cd /root
smarty-gateway simulate --pty --link /dev/meter --period 1 --write-keys sent.yaml >/dev/null &
until [ -e /dev/meter ] && [ -e sent.yaml ]; do
  kill -0 $!  # it has not ended
done
smarty-gateway setup --yes --port /dev/meter --key-file sent.yaml --broker none --page none >/dev/null
smarty-gateway run --state /var/lib/private/smarty-gateway >/readings 2>/log &
until [ -s /readings ]; do
  kill -0 $!
done
kill -TERM $!
wait $!
head -n 1 /readings
"""
STARTS_AT_BOOT = "etc/systemd/system/multi-user.target.wants/smarty-gateway.service"
#: The same package as a later version.
NEWER = f"""
set -e
dpkg-deb --raw-extract /{PACKAGE} /newer
sed -i 's/^Version: .*/Version: 99.0.0/' /newer/DEBIAN/control
dpkg-deb --root-owner-group --build -Znone /newer /newer.deb
"""


class DebianRoot:
    """A system in a folder."""

    def __init__(self, base: Path, path: Path) -> None:
        subprocess.run(["cp", "--archive", base, path], check=True, timeout=LIMIT)  # noqa: S607 - any cp
        self.path = path

    def tries(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a script of bash in the root."""
        namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation=private"]
        return subprocess.run(
            [*namespaces, "bash", "-c", ENTER, "bash", self.path, "bash", "-c", script],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=LIMIT,
        )  # fmt: skip

    def does(self, script: str) -> str:
        """Run a script that succeeds, and return what it printed."""
        done = self.tries(script)
        assert done.returncode == 0, f"{script}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def has(self, path: str) -> bool:
        """Return whether something is there, such as a link."""
        return os.path.lexists(self.path / path)


@pytest.fixture
def builder(trixie_root: Path, tmp_path: Path) -> DebianRoot:
    """Return a Debian 13 with the sources and all that builds and checks a package."""
    root = DebianRoot(trixie_root, tmp_path / "builder")
    skipped = shutil.ignore_patterns("__pycache__")
    for name in ("smarty_gateway", "vectors", "docs", "deploy"):
        shutil.copytree(ROOT / name, root.path / "src" / name, ignore=skipped)
    for path in (*ROOT.glob("*.md"), ROOT / "pyproject.toml", ROOT / "LICENSE", ROOT / "keys.example.yaml"):
        shutil.copy(path, root.path / "src")
    # What nobody reads there would take a tenth of the time.
    unread = [f"path-exclude=/usr/share/{name}/*\n" for name in ("doc", "info", "locale", "man")]
    (root.path / "etc/dpkg/dpkg.cfg.d/unread").write_text("".join(unread), "ascii")
    done = root.tries("apt-get update -qq")
    if done.returncode != 0:
        pytest.skip(f"no packages, as without a network: {done.stderr[-300:]}")
    root.does(f"{APT} install lintian && {APT} build-dep /src/deploy")
    return root


def built(builder: DebianRoot, options: str = "") -> bytes:
    """Build the package, and return its content."""
    builder.does(f"DEB_BUILD_OPTIONS='{options}' /src/deploy/debian/build /out")
    return (builder.path / f"out/{PACKAGE}").read_bytes()


@pytest.mark.slow
def test_the_package_lives_as_debian_wants_it(builder: DebianRoot, trixie_root: Path, tmp_path: Path) -> None:
    """One test, because each step needs the ones before, and the first ones take the time."""
    package = built(builder)
    assert built(builder, "nocheck") == package, "a second build differs"
    assert builder.does(f"lintian --allow-root --pedantic --display-info /out/{PACKAGE}") == ""

    user = DebianRoot(trixie_root, tmp_path / "user")
    (user.path / PACKAGE).write_bytes(package)
    user.does(f"apt-get update -qq && {APT} install /{PACKAGE}")
    assert_it_is_complete(user)
    reading = json.loads(user.does(FIRST_READING))
    assert (reading["meter"], reading["security"]) == ("house", "authenticated")

    counters = (user.path / "var/lib/private/smarty-gateway/gateway.sqlite3").read_bytes()
    user.does(NEWER)
    user.does(f"{APT} install /newer.deb")
    assert user.does("dpkg-query --show --showformat '${Version}' smarty-gateway") == "99.0.0"
    assert_that_the_household_s_files_are_there(user, counters)
    user.does("apt-get remove -qq -y smarty-gateway")
    assert not user.has("usr/bin/smarty-gateway")
    assert not user.has("usr/lib/python3/dist-packages/smarty_gateway")
    assert_that_the_household_s_files_are_there(user, counters)

    user.does(f"{APT} install /newer.deb")
    write_units(user, "/opt/smarty-gateway/bin")
    purge = "DPKG_MAINTSCRIPT_PACKAGE=smarty-gateway sh /var/lib/dpkg/info/smarty-gateway.postrm purge"
    assert "is of another installation" in user.does(purge)
    assert_that_the_household_s_files_are_there(user, counters)
    assert user.has("etc/systemd/system/smarty-gateway.service")
    assert user.has(STARTS_AT_BOOT)

    write_units(user, "/usr/bin")
    assert "sudo rm -r /etc/smarty-gateway" in user.does("apt-get purge -qq -y smarty-gateway")
    assert not user.has("var/lib/private/smarty-gateway")
    assert not user.has(STARTS_AT_BOOT)
    assert user.does("cd /etc/systemd/system; ls -d smarty-*") == "smarty-gateway-report-day.timer\n"
    assert user.has("etc/smarty-gateway/keys.yaml"), "only its owner removes a key"


def assert_it_is_complete(user: DebianRoot) -> None:
    """Look at what a household and its system need of the package."""
    assert user.does("smarty-gateway verify").endswith(" 0 failed\n")
    assert user.does("stat --format '%a %U' /etc/smarty-gateway") == "755 root\n"
    assert "smarty-gateway" in user.does("getent passwd smarty-gateway")
    asks = user.does(
        'python3 -c \'import importlib.metadata as m; print(*m.requires("smarty-gateway"), sep="\\n")\''
    )
    assert "fastcrc" not in asks
    assert "bottle" in asks  # an extra
    page = user.path / "page.yaml"
    page.write_text("meters: [{name: house, source: 'tcp://127.0.0.1:9'}]\noutputs: {http: true}\n", "ascii")
    checked = user.tries("smarty-gateway check --config /page.yaml")
    assert "type: sudo apt install python3-bottle" in checked.stdout + checked.stderr
    for shell, path in {
        "bash": "bash-completion/completions/smarty-gateway",
        "zsh": "zsh/vendor-completions/_smarty-gateway",
        "fish": "fish/vendor_completions.d/smarty-gateway.fish",
    }.items():
        assert user.does(f"smarty-gateway completion {shell}") == user.does(f"cat /usr/share/{path}")
    assert user.has("usr/lib/udev/rules.d/91-smarty-gateway.rules")
    unit = user.does("cat /usr/lib/systemd/system/smarty-gateway.service")
    for line in (
        "ConditionPathExists=/etc/smarty-gateway/gateway.yaml",
        "ExecStart=/usr/bin/smarty-gateway run --config /etc/smarty-gateway/gateway.yaml",
        "DynamicUser=yes",
        "SupplementaryGroups=dialout",
        *(
            f"LoadCredential={name}:/etc/smarty-gateway/{name}\nSetCredential={name}:\\n"
            for name in ("keys.yaml", "mqtt.password", "web.password")
        ),
    ):
        assert f"\n{line}\n" in unit
    timer = user.does("cat /usr/lib/systemd/system/smarty-gateway-report@.service")
    assert "ExecStart=/usr/bin/smarty-gateway report --mail" in timer


def assert_that_the_household_s_files_are_there(user: DebianRoot, counters: bytes) -> None:
    assert (user.path / "var/lib/private/smarty-gateway/gateway.sqlite3").read_bytes() == counters
    assert user.has("var/lib/private/smarty-gateway/history.sqlite3")
    assert user.has("etc/smarty-gateway/gateway.yaml")
    assert user.does("stat --format %a /etc/smarty-gateway/keys.yaml") == "600\n"


def write_units(user: DebianRoot, program: str) -> None:
    """Write what `service install` of a program writes, and a unit of the household's own."""
    folder = user.path / "etc/systemd/system"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("smarty-gateway.service", "smarty-gateway-report@.service"):
        text = (ROOT / "deploy" / name).read_text("utf-8")
        (folder / name).write_text(text.replace("/opt/smarty-gateway/bin", program), "utf-8")
    link = user.path / STARTS_AT_BOOT
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to("/etc/systemd/system/smarty-gateway.service")
    (folder / "smarty-gateway-report-day.timer").write_text("# Of the household\n", "ascii")

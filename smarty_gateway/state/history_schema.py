"""The tables of history.sqlite3, which lies beside gateway.sqlite3 in the state folder.

It is a file of its own, because it is kept for ever: waiting telegrams neither fill nor damage it, and a
copy of it is a backup.
"""

from typing import Final

from smarty_gateway.history.sample import REGISTERS

FILE_NAME: Final = "history.sqlite3"
VERSION: Final = 1
#: `end` counts quarter hours since 1970. A row of `device_values` holds until the next one of its device: it
#: is written only where the value has changed. `others` is a JSON object.
TABLES: Final = f"""
CREATE TABLE meters (number INTEGER PRIMARY KEY, name TEXT UNIQUE, is_simulated INTEGER);
CREATE TABLE series (
    meter INTEGER, series INTEGER, meter_id TEXT, PRIMARY KEY (meter, series)) WITHOUT ROWID;
CREATE TABLE quarters (
    end INTEGER, meter INTEGER, series INTEGER, telegrams INTEGER, max_power INTEGER, min_power INTEGER,
    {", ".join(f"{name} INTEGER" for name in REGISTERS)}, others TEXT,
    PRIMARY KEY (end, meter)) WITHOUT ROWID;
CREATE TABLE devices (
    number INTEGER PRIMARY KEY, meter INTEGER, device TEXT, name TEXT, unit TEXT, UNIQUE (meter, device));
CREATE TABLE device_values (
    end INTEGER, device INTEGER, value INTEGER, dated INTEGER, PRIMARY KEY (device, end)) WITHOUT ROWID;
CREATE TABLE peaks (
    meter INTEGER, month INTEGER, power INTEGER, ended INTEGER, PRIMARY KEY (meter, month)) WITHOUT ROWID;
"""

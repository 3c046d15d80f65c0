"""What people write from habit instead of a key of gateway.yaml, pool.yaml or keys.yaml, and what to write.

The words come from other programs, from the letters of grid operators and from DLMS. Each table is for one
dataclass of settings, by its name. A word is compared in lower case, without blanks, `_` and `-`; `*` stands
for all that are not listed.
"""

import re
from collections.abc import Mapping
from typing import Final

_IN_KEYS_FILE: Final = "keys are never in this file; write them into keys.yaml (see keys.example.yaml)"
_FOUND: Final = "remove this line: what the meter sends is found from its bytes"
_IN_METER: Final = "write it into an entry of `meters:`, as in `- source: /dev/ttyUSB0`"
_IN_MQTT: Final = "write it below `outputs:` and `mqtt:`"
_NEVER_HERE: Final = (
    "a password is never in this file; write it into a file of its own (chmod 600), and name that below "
)
_OWN_FILE: Final = f"{_NEVER_HERE}`mqtt:` as `password_file: mqtt.password`"
_WEB_PASSWORD: Final = f"{_NEVER_HERE}`http:` as `password_file: web.password`"
_MAIL_PASSWORD: Final = f"{_NEVER_HERE}`mail:` as `password_file: mail.password`"
_POOL_PASSWORD: Final = f"{_NEVER_HERE}`nodes:` as `password_file: amqp.password`"
_PAGE: Final = "write `http: true` below `outputs:`"
_PAGE_WORDS: Final = "web webpage page website webserver httpserver dashboard prometheus metrics api"
_MAIL: Final = "write `mail:` below `outputs:`"
_MAIL_WORDS: Final = "email smtp mailer"
_MAIL_SERVER: Final = "write `server: smtps://USER@HOST`"
_NO_TLS: Final = "remove this line: the page has no TLS of its own; put a reverse proxy before it"
_BROADCAST: Final = (
    "this key is for messages to all meters, which P1 does not use; the encryption key (GUEK) is needed, as "
    "`encryption_key`"
)
_MASTER: Final = (
    "the master key (KEK) only protects other keys on their way to the meter; the encryption key (GUEK) is "
    "needed, as `encryption_key`"
)
_AUTHENTICATION: Final = "write `authentication_key`"
_METER_LINES: Final = (
    "write `keys:`, and below it, two blanks to the right, a line for each meter: its serial number, a "
    "colon, a blank and the key"
)
_ZONE: Final = "write `timezone: Europe/Luxembourg`"
_SWITCH: Final = "remove this line: the section itself switches it on"
_INFLUX: Final = "write `influxdb:`"
_TCP: Final = 'write `tcp: [{listen: "127.0.0.1:2001"}]`'
_PTY: Final = "write `pty: [{link: /run/smarty-gateway/house}]`"
_BYTES: Final = "remove this line: telegrams are handed on byte for byte"
_UNPROTECTED: Final = (
    "remove this line: the port has no password and no TLS, as no program that reads telegrams expects any"
)
_INFLUX_KEY: Final = (
    "a token is never in this file; write it into a file of its own (chmod 600), and name that as "
    "`token_file: influx.token`"
)
_METER_WORDS: Final = "name source id"
#: From the Green Book of DLMS, Austrian portals (GUEK_SM_CI_128), Luxembourg's P1 specification ("P1 unitary
#: key") and other programs.
_ENCRYPTION_WORDS: Final = (
    "guek ek gueksmci128 key p1key p1unitarykey unitarykey decryptionkey decryptkey dlmskey aeskey "
    "unicastkey unicastencryptionkey globalunicastencryptionkey globalencryptionkey blockcipherkey "
    "enckey encryption decryption smartykey meterkey clé clédechiffrement clédecryptage "
    "clédedécryptage clép1 schlüssel entschlüsselungsschlüssel verschlüsselungsschlüssel"
)
_AUTHENTICATION_WORDS: Final = (
    "gak ak gaksmci128 authkey authentication globalauthenticationkey globalauthentificationkey "
    "authentificationkey cléd'authentification authentifizierungsschlüssel"
)
#: Of what a bill in Luxembourg calls `puissance de référence`.
_REFERENCE_WORDS: Final = (
    "reference level class powerclass powerlevel referencelevel referenceclass contractedpower "
    "subscribedpower puissance puissancederéférence puissancedereference niveau referenzleistung "
    "leistungsklasse power kilowatt kilowatts"
)


def advice_for(section: str, word: str) -> str | None:
    """Return what to write instead of a word that is no key of a section; None where that is not known."""
    words = WORDS.get(section, {})
    return words.get(re.sub(r"[\s_-]+", "", word.lower()), words.get("*"))


def _table(*rows: tuple[str, str]) -> Mapping[str, str]:
    return {word: advice for words, advice in rows for word in words.split()}


WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "Config": _table(
        ("source port device serialport tty usb", _IN_METER),
        ("baud baudrate speed id serial serialnumber unnamed encrypted", _IN_METER),
        ("mqtt stdout http mail tcp pty udp influxdb domoticz files forward", "write it below `outputs:`"),
        (_PAGE_WORDS, _PAGE),
        (_MAIL_WORDS, _MAIL),
        ("broker mqttbroker host url server", "write `url: mqtt://HOST` below `outputs:` and `mqtt:`"),
        ("topic interval homeassistant clientid telegrams values user username", _IN_MQTT),
        ("passwordfile cafile", _IN_MQTT),
        ("password pass passwd", _OWN_FILE),
        ("key encryptionkey decryptionkey guek gak", _IN_KEYS_FILE),
        ("keyfile keysfile", "write `keys: keys.yaml`"),
        ("statefolder statedir statedirectory datadir", "write `state: FOLDER`"),
        ("tz localtime zone", _ZONE),
        (f"{_REFERENCE_WORDS} tariff tariffs referencepower plausiblepower", _IN_METER),
        ("loglevel log logging verbose debug", "remove this line, and start `run` with -v to log more"),
    ),
    "MeterConfig": _table(
        ("baud baudrate bps bitrate", "write `speed: 9600`; without it the speed is detected"),
        (
            "parity databits bytesize stopbits bits",
            "write all of these as one, as in `framing: 7E1`; without it they are detected",
        ),
        (
            "port device tty serialport usb path dev",
            "write `source: /dev/ttyUSB0`, or `source: tcp://HOST:PORT` for a bridge",
        ),
        ("host ip ipaddress address url tcp", "write `source: tcp://HOST:PORT`"),
        ("file recording capture input", "write `source: FILE`"),
        (
            "serial serialnumber sn meterid equipmentid systemtitle meterserial",
            "write `id:` and the serial number, which is needed only where meters share a source",
        ),
        ("label title alias friendlyname displayname", "write `name:`"),
        ("key keys encryptionkey decryptionkey guek gak authenticationkey password", _IN_KEYS_FILE),
        ("version dsmrversion dsmr protocol country type kind model", _FOUND),
        ("interval topic", _IN_MQTT),
        (_REFERENCE_WORDS, "write `reference_power: 7`, in kW as on the bill"),
        ("tariffs tarif prices price pricelist", "write `tariff: lu`, or the path of a file of your own"),
        ("maxpower maximumpower plausible", "write `plausible_power: 250`, in kW"),
        ("timezone tz localtime zone history", "write it at the top of the file, without blanks before it"),
    ),
    "_DatedLevel": _table(
        ("begin start since date validfrom day", "write `from: 2026-01-01`"),
        (f"{_REFERENCE_WORDS} value referencepower", "write `kw: 7`"),
    ),
    "Outputs": _table(
        ("mqttbroker broker", "write `mqtt:`"),
        (
            "url host user topic interval homeassistant passwordfile cafile telegrams values meter format",
            "write it below the output that it belongs to, such as `mqtt:`, further to the right",
        ),
        ("database bucket org tokenfile megabytes", "write it below `influxdb:`, further to the right"),
        ("devices idx", "write it below `domoticz:`, further to the right"),
        ("compressafter", "write it below `files:`, further to the right"),
        ("password pass passwd", _OWN_FILE),
        ("console print terminal json table", "write `stdout: {format: json}`"),
        ("influx influxdb1 influxdb2 influxdb3 influxdbv2 db telegraf", _INFLUX),
        ("socket telnet tcpserver server listen ser2net rawtcp", _TCP),
        ("serial pseudoterminal virtualserial virtualport tty socat port", _PTY),
        ("datagram loxone", 'write `udp: [{address: "192.168.1.77:7000"}]`'),
        ("file csv jsonl jsonlines log logs folder", "write `files: {folder: telegrams}`"),
        ("domotic dz", "write `domoticz:`"),
        ("hass ha discovery", "write `home_assistant: true` below `mqtt:`"),
        (_PAGE_WORDS, _PAGE),
        (_MAIL_WORDS, _MAIL),
    ),
    "HttpConfig": _table(
        (
            "address bind bindaddress host ip interface port httpport url",
            "write `listen: 127.0.0.1:8300`",
        ),
        ("password pass passwd pwd secret token", _WEB_PASSWORD),
        ("user username login", "remove this line: with the password every user name is right"),
        ("noauth noauthentication anonymous public auth authentication", "write `open: true`"),
        (
            "allowedhosts hostname hostnames servername domain domains trustedhosts",
            "write `hosts: [smarty.example]`",
        ),
        ("proxy trustedproxies trustedproxy reverseproxy", "write `proxies: [192.168.1.5]`"),
        ("tls ssl https cert certfile certificate keyfile", _NO_TLS),
        ("enabled", _SWITCH),
        (
            "path prefix basepath rootpath",
            "remove this line: the page works below any path of a proxy",
        ),
    ),
    "MailConfig": _table(
        ("host hostname smtp smtpserver url address mailserver", _MAIL_SERVER),
        ("port smtpport", "write the port into the server, as in `server: smtps://USER@HOST:465`"),
        ("user username login", "write the user into the server, as in `server: smtps://USER@HOST`"),
        ("password pass passwd pwd secret", _MAIL_PASSWORD),
        (
            "tls ssl usetls starttls secure encryption",
            "write smtps:// (TLS) or smtp:// (STARTTLS) in the server",
        ),
        ("sender mailfrom fromaddress", "write `from: gateway@example.org`"),
        ("recipient recipients receiver receivers mailto toaddress cc bcc", "write `to: [me@example.org]`"),
        ("ca cacert cacerts cacertificate", "write `ca_file: FILE`"),
    ),
    "MqttConfig": _table(
        ("host hostname server broker brokerurl address uri mqtthost ip", "write `url: mqtt://HOST`"),
        ("port mqttport", "write the port into the url, as in `url: mqtt://HOST:1883`"),
        ("user username login mqttuser", "write the user into the url, as in `url: mqtt://USER@HOST`"),
        ("password pass passwd pwd mqttpassword secret", _OWN_FILE),
        ("tls ssl usetls secure", "write mqtts:// instead of mqtt:// in the url"),
        ("ca cacert cacerts cacertificate certificateauthority tlsca", "write `ca_file: FILE`"),
        ("cert certificate clientcert clientcertificate tlscert", "write `cert_file: FILE`"),
        ("key privatekey clientkey tlskey", "write `key_file: FILE`"),
        (
            "topicprefix basetopic base roottopic prefix mqtttopic mqttprefix topics",
            "write `topic: smarty`",
        ),
        (
            "discovery homeassistantdiscovery hadiscovery hass ha discoverytopic",
            "write `home_assistant: true`",
        ),
        ("discoveryprefix", "write `home_assistant: {prefix: homeassistant}`"),
        (
            "updateinterval publishinterval scaninterval period throttle seconds frequency",
            "write `interval: 10`",
        ),
        ("protocol protocolversion mqttversion", "write `version: 3.1.1` or `version: 5`"),
        ("id client", "write `client_id:`"),
        ("qos retain keepalive retained", "remove this line: it cannot be set"),
        ("format", "remove this line: MQTT always gets JSON"),
        ("domoticz", "write `domoticz:` below `outputs:`, and `mqtt: true` below that"),
    ),
    "HomeAssistantConfig": _table(
        ("discoveryprefix topic discoverytopic basetopic", "write `prefix: homeassistant`"),
        ("enabled discovery", _SWITCH),
        ("type mode", "write `style: device` or `style: entity`"),
    ),
    "TcpConfig": _table(
        ("port address bind bindaddress host ip interface url socket", "write `listen: 127.0.0.1:2001`"),
        (_METER_WORDS, "write `meter:` and its name"),
        ("format", _BYTES),
        ("password passwordfile user username token auth", _UNPROTECTED),
        ("tls ssl cert certfile keyfile", _UNPROTECTED),
    ),
    "PtyConfig": _table(
        ("path device port tty name symlink dev serial file", "write `link: /run/smarty-gateway/house`"),
        (_METER_WORDS, "write `meter:` and its name"),
        ("permissions perms chmod umask permission", "write `mode: 0660`"),
        ("owner user gid", "write `group: dialout`"),
        ("baud baudrate speed framing parity", "remove this line: a pseudo-terminal works at any speed"),
        ("format", _BYTES),
    ),
    "UdpConfig": _table(
        ("host ip url receiver target to destination server", 'write `address: "192.168.1.77:7000"`'),
        ("port", 'write the port into the address, as in `address: "192.168.1.77:7000"`'),
        (_METER_WORDS, "write `meter:` and its name"),
        ("values names keys field", "write `fields: [power_import]`"),
        ("type payload", "write `format: json` or `format: telegram`"),
        ("interval", "remove this line: every reading is sent"),
    ),
    "InfluxConfig": _table(
        ("host hostname server address uri ip", "write `url: http://HOST:8086`"),
        ("port", "write the port into the url, as in `url: http://HOST:8086`"),
        ("db dbname", "write `database: smarty`"),
        ("organization organisation orgid", "write `org: home`"),
        ("username login", "write `user: NAME`"),
        ("token apitoken authtoken apikey accesstoken", _INFLUX_KEY),
        ("password pass passwd pwd secret", f"{_NEVER_HERE}`influxdb:` as `password_file: influx.password`"),
        ("tls ssl https usetls secure", "write https:// instead of http:// in the url"),
        ("ca cacert cacerts cacertificate", "write `ca_file: FILE`"),
        ("mb size maxsize megabyte limit buffer", "write `megabytes: 50`"),
        ("version apiversion", "remove this line: `database` is of InfluxDB 1, `bucket` of 2 and 3"),
        ("measurement tags fields precision", "remove this line: it cannot be set"),
        ("interval batch batchsize flushinterval", "remove this line: every reading is written"),
        ("enabled", _SWITCH),
        ("retention retentionpolicy rp", "remove this line, and set the retention on the server"),
    ),
    "DomoticzConfig": _table(
        ("host hostname server address uri ip", "write `url: http://HOST:8080`"),
        ("port", "write the port into the url, as in `url: http://HOST:8080`"),
        ("username login", "write `user: NAME`"),
        (
            "password pass passwd pwd secret",
            f"{_NEVER_HERE}`domoticz:` as `password_file: domoticz.password`",
        ),
        ("tls ssl https usetls secure", "write https:// instead of http:// in the url"),
        ("ca cacert cacerts cacertificate", "write `ca_file: FILE`"),
        (
            "idx device electricity gas meter meters electricityidx gasidx p1idx",
            "name the meter before its devices, as in `devices: {house: {electricity: 12, gas: 13}}`",
        ),
        ("topic broker", "write `mqtt: true`, which uses the broker of `mqtt:`"),
        ("updateinterval period throttle seconds frequency", "write `interval: 10`"),
        ("enabled", _SWITCH),
    ),
    "DomoticzDevice": _table(
        (
            "water heat",
            "remove it: only electricity and gas are sent; docs/domoticz.md has ways for the rest",
        ),
        ("idx device deviceidx power energy p1 elec strom", "write `electricity: 12` or `gas: 13`"),
    ),
    "FilesConfig": _table(
        ("path dir directory file location name", "write `folder: telegrams`"),
        ("type kind", "write `format: jsonl` or `format: csv`"),
        ("compress compression gzip zip compressafterdays days rotate", "write `compress_after: 31`"),
        ("retention keep maxage delete", "remove this line: nothing is deleted"),
        (_METER_WORDS, "remove this line: each meter has files of its own"),
        ("interval", "remove this line: every reading is written"),
        ("enabled", _SWITCH),
    ),
    "ForwardConfig": _table(
        ("url host hostname server servers broker brokers nodes node", "write `urls: [mqtts://USER@HOST]`"),
        ("port", "write the port into the url, as in `urls: [mqtts://USER@HOST:8883]`"),
        ("user username login", "write the user into the url, as in `urls: [mqtts://USER@HOST]`"),
        ("password pass passwd pwd secret", f"{_NEVER_HERE}`forward:` as `password_file: edge.password`"),
        ("tls ssl usetls secure", "write mqtts:// instead of mqtt:// in the urls"),
        ("ca cacert cacerts cacertificate", "write `ca_file: FILE`"),
        ("mb size maxsize megabyte limit buffer", "write `megabytes: 200`"),
        ("interval", "remove this line: every frame is forwarded"),
        ("clientid", "remove this line: an edge has a new one at each connection"),
        ("enabled", _SWITCH),
    ),
    "StdoutConfig": _table(("type output kind", "write `format: json`")),
    "StoreLimits": _table(
        ("mb size maxsize megabyte limit", "write `megabytes: 200`"),
        ("age maxage retention day", "write `days: 30`"),
    ),
    "PoolConfig": _table(
        (
            "node url urls amqp rabbitmq broker brokers cluster server servers host hosts",
            "write `nodes: [amqps://USER@a.example, amqps://USER@b.example, amqps://USER@c.example]`",
        ),
        ("user username login", "write the user into the urls, as in `nodes: [amqps://USER@a.example]`"),
        ("password pass passwd", _POOL_PASSWORD),
        (
            "postgresql postgres postgre sql db dsn",
            "write `database: {url: postgresql://USER@HOST/DATABASE}`",
        ),
        ("keyfolder keysfolder keyfile keysfile keydir", "write `keys: FOLDER`"),
        (
            "key encryptionkey decryptionkey",
            "keys are never in this file; type smarty-gateway pool add-keys",
        ),
        ("name workername id", "write `worker: NAME`"),
        ("virtualhost", "write `vhost: NAME`"),
        ("managementapi api", "write `management: [https://a.example]`"),
        ("tls ssl usetls secure", "write amqps:// instead of amqp:// in the urls"),
        ("ca cacert cacerts cacertificate", "write `ca_file: FILE`"),
        ("meters meter plain plaintextmeters", "write `plaintext:`, for the meters that do not encrypt"),
        ("shards shard", "remove this line: there are 64 shards"),
        ("mqtt stdout influxdb files", "write it below `outputs:`"),
        ("health metrics prometheus web page", "write `http: true`"),
        ("statefolder statedir statedirectory datadir", "write `state: FOLDER`"),
        ("tz localtime zone", _ZONE),
        ("loglevel log logging verbose debug", "remove this line, and start `pool run` with -v to log more"),
    ),
    "DatabaseConfig": _table(
        (
            "host hostname server address uri dsn ip name port user username dbname database",
            "write `url: postgresql://USER@HOST/DATABASE`",
        ),
        (
            "password pass passwd pwd secret",
            f"{_NEVER_HERE}`database:` as `password_file: database.password`",
        ),
        (
            "tls ssl sslmode secure",
            "remove this line: beyond this machine all is encrypted",
        ),
        ("ca cacert cacerts cacertificate sslrootcert", "write `ca_file: FILE`"),
        ("retention keep maxage days delete", "write `keep_days: 400`"),
    ),
    "PlaintextMeter": _table(
        ("id serial serialnumber meter name", "write `meter_id:`"),
        ("edge username login", "write `user:` and the user name of the edge"),
    ),
    "PoolOutputs": _table(
        (
            "http https web page website prometheus metrics health",
            "write it at the top of the file as `http: true`, without blanks before it",
        ),
        (
            "database postgresql postgres",
            "write it at the top of the file, without blanks before it",
        ),
        ("tcp pty udp domoticz mail forward", "remove this line: a pool has no such output"),
        ("influx influxdb1 influxdb2 influxdb3 db", _INFLUX),
        ("broker mqttbroker", "write `mqtt:`"),
        ("file csv jsonl log folder", "write `files: {folder: telegrams}`"),
    ),
    "_Entry": _table(
        (_ENCRYPTION_WORDS, "write `encryption_key`"),
        (_AUTHENTICATION_WORDS, _AUTHENTICATION),
        ("gbek bek globalbroadcastencryptionkey broadcastkey broadcastencryptionkey", _BROADCAST),
        ("kek mk masterkey master keyencryptionkey", _MASTER),
        ("aad additionalauthenticateddata", f"leave out the 30 at its beginning, and {_AUTHENTICATION}"),
        ("verify check security", "write `verification: required` or `verification: crc-only`"),
        (
            "serial serialnumber systemtitle id meter name",
            "remove this line, and write the serial number before the colon above the entry",
        ),
    ),
    "_KeyFile": {"*": _METER_LINES},
}

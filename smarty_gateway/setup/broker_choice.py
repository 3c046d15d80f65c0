"""The broker: its url, user and password, proven by a connection before anything is written."""

from dataclasses import replace
from pathlib import Path

from smarty_gateway.config.broker_url import parse_broker_url
from smarty_gateway.config.values import Config, HomeAssistantConfig, MqttConfig, Outputs
from smarty_gateway.config.warnings import warnings
from smarty_gateway.outputs.mqtt.broker_errors import ConnectionFailed
from smarty_gateway.setup.answers import PASSWORD_FILE, Answers
from smarty_gateway.setup.broker import BrokerSearch, lets_nobody_in, try_broker
from smarty_gateway.setup.files import broker_url
from smarty_gateway.setup.password import PasswordFile
from smarty_gateway.setup.terminal import RejectedError, Terminal

_NONE = "none"


class BrokerChoice:
    """Asks for a broker.

    Args:
        terminal: to ask at.
        answers: what the options say.
    """

    def __init__(self, terminal: Terminal, answers: Answers) -> None:
        self._terminal = terminal
        self._answers = answers
        self._search = BrokerSearch() if answers.broker is None else None
        self._password = PasswordFile(
            answers.folder / PASSWORD_FILE, terminal, answers.password_file, "--password-file"
        )

    def choose(self) -> MqttConfig | None:
        """Return the broker, to which a connection was made; None if there shall be none.

        Raises:
            GatewayError: what the options say cannot be used, or the broker does not accept it.
        """
        given, default = self._answers.broker, _NONE
        if given is None:
            self._terminal.say(
                "Readings can go to an MQTT broker, from which Home Assistant and others take them. Type its "
                "url (mqtt://HOST, or mqtts://HOST with TLS), or `none`."
            )
        if self._search is not None and self._search.found is not None:
            default = self._search.found
        while True:
            broker = self._terminal.ask_for("Broker", "--broker", _parse, given, default)
            if broker is None:
                return None
            default = broker_url(broker)
            broker = replace(broker, user=self._answers.user or broker.user, ca_file=self._ca_file(broker))
            for warning in warnings(Config((), outputs=Outputs(mqtt=replace(broker, user=None)))):
                self._terminal.say(f"warning: {warning}")
            try:
                proven = self._prove(broker)
            except ConnectionFailed as failed:
                if given is not None or not self._terminal.is_there:
                    raise RejectedError(str(failed)) from None
                self._terminal.complain(failed)
                if not self._terminal.confirm("Use this broker all the same?", default=False):
                    continue
                proven = broker
            return replace(proven, home_assistant=self._home_assistant())

    def _ca_file(self, broker: MqttConfig) -> Path | None:
        if not broker.tls:
            return None
        given = self._answers.ca_file
        if given is None and self._terminal.is_there and self._answers.broker is None:
            text = self._terminal.ask("File with the certificate of your own CA (Enter: none)", "--ca-file")
            given = Path(text).expanduser() if text else None
        return None if given is None else given.absolute()

    def _home_assistant(self) -> HomeAssistantConfig | None:
        wanted = self._answers.home_assistant
        if wanted is None:
            wanted = self._terminal.confirm("Announce the meter to Home Assistant?")
        return HomeAssistantConfig() if wanted else None

    def _prove(self, broker: MqttConfig) -> MqttConfig:
        """Return the broker with the user and the password file with which it lets the gateway in.

        Raises:
            ConnectionFailed: it cannot be reached, or does not accept what the options say.
        """
        if broker.user is None:
            try:
                try_broker(broker, None)
            except ConnectionFailed as failed:
                if not lets_nobody_in(failed):
                    raise
                self._terminal.say("The broker requires a user name and a password.")
            else:
                self._terminal.say(f"The broker {broker.address} accepts connections without a password.")
                return broker
        while True:
            if (user := self._answers.user or broker.user) is None:
                user = self._terminal.ask("User name at the broker", "--user")
                if not user:
                    continue
            broker = replace(broker, user=user)
            password = self._password.ask(f"Password of {user}")
            try:
                try_broker(broker, password)
            except ConnectionFailed as failed:
                if not lets_nobody_in(failed) or self._answers.password_file is not None:
                    raise
                self._terminal.complain(failed)
                broker = replace(broker, user=None)
                continue
            self._terminal.say(f"The broker {broker.address} accepts user {user}.")
            self._password.save(password)
            return replace(broker, password_file=self._password.path)


def _parse(text: str) -> MqttConfig | None:
    if text.lower() == _NONE:
        return None
    return MqttConfig(**parse_broker_url(text if "://" in text else f"mqtt://{text}"))

"""Who may call what: bearer tokens with scopes."""

import hashlib
import hmac
import logging
import time
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

from .errors import NoCredentialsError, ScopeMissingError, ServiceError
from .file_stamp import file_stamp

logger = logging.getLogger(__name__)

HEADER = "authorization"
_SCHEME = "bearer "
_MIN_CHARACTERS = 16
_MAX_FILE_BYTES = 1 << 20
# Between two looks at whether the file is another.
_LOOK_SECONDS = 1.0


class Scope(StrEnum):
    """What a token allows."""

    INFER = "infer"
    """Have sentences answered, and know the model."""
    READ = "read"
    """Know the model, the versions that are kept, and how the worker does."""
    ADMIN = "admin"
    """Change the model."""


EVERYTHING = frozenset(Scope)
# By the beginning of a method's name; any one of the scopes will do. None: whoever may call at all.
_METHODS: tuple[tuple[str, frozenset[Scope] | None], ...] = (
    ("/twinhead.v1.InferenceService/", frozenset({Scope.INFER})),
    ("/twinhead.v1.ModelService/", frozenset({Scope.INFER, Scope.READ})),
    ("/twinhead.v1.ModelAdminService/ListVersions", frozenset({Scope.READ, Scope.ADMIN})),
    ("/twinhead.v1.ModelAdminService/GetStatus", frozenset({Scope.READ, Scope.ADMIN})),
    ("/twinhead.v1.ModelAdminService/", frozenset({Scope.ADMIN})),
    ("/inference.GRPCInferenceService/ModelInfer", frozenset({Scope.INFER})),
    ("/inference.GRPCInferenceService/ModelMetadata", frozenset({Scope.INFER, Scope.READ})),
    ("/inference.GRPCInferenceService/ServerMetadata", frozenset({Scope.INFER, Scope.READ})),
    ("/tei.v1.Info/", frozenset({Scope.INFER, Scope.READ})),
    ("/tei.v1.", frozenset({Scope.INFER})),
    # Probes of orchestrators cannot carry a token, and learn nothing but whether the worker serves.
    ("/grpc.health.v1.Health/", None),
    ("/inference.GRPCInferenceService/ServerLive", None),
    ("/inference.GRPCInferenceService/ServerReady", None),
    ("/inference.GRPCInferenceService/ModelReady", None),
)


class TokenFile:
    """Tokens and what each allows, from a file that is read again when it changes.

    On each line a token and, after a space, the scopes it has, with commas between them. (None is
    not all: a line that is half written must not say more than the whole.) Lines that begin with #
    say something to people. Of tokens only digests are kept.
    """

    def __init__(self, file: Path) -> None:
        """Read a file.

        Raises:
            ValueError: it cannot be read, or a line is not as it should be.
        """
        self._file = file
        self._stamp = file_stamp(file)
        self._tokens = _read(file)
        self._looked = time.monotonic()

    def scopes(self, token: str) -> frozenset[Scope] | None:
        """What a token allows; None if it is not in the file. Takes the same time for any."""
        self._look()
        digest = _digest(token.encode())
        found: frozenset[Scope] | None = None
        for known, scopes in self._tokens.items():
            if hmac.compare_digest(known, digest):
                found = scopes
        return found

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        stamp = file_stamp(self._file)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._tokens = _read(self._file)
        except ValueError as error:
            logger.error("the tokens stay as they were: %s", error)
        else:
            logger.info("%d tokens from %s", len(self._tokens), self._file)


class Access:
    """Decides whether a call may go on."""

    def __init__(self, tokens: TokenFile | None, anonymous: Iterable[str] = ()) -> None:
        """Let those in who have a token; without a token file, everybody.

        Args:
            tokens: who may do what.
            anonymous: scopes of those who show no token.
        """
        self._tokens = tokens
        self._anonymous = frozenset(Scope(scope) for scope in anonymous)

    def refusal(self, method: str, credentials: str | bytes | None) -> ServiceError | None:
        """Why a call may not go on; None if it may.

        Args:
            method: its full name, as in `/package.Service/Method`.
            credentials: its `authorization` header, if it has one.
        """
        if self._tokens is None:
            return None
        wanted: frozenset[Scope] | None = EVERYTHING
        for beginning, scopes in _METHODS:
            if method.startswith(beginning):
                wanted = scopes
                break
        if wanted is None:
            return None
        if credentials is None:
            return None if self._anonymous & wanted else NoCredentialsError(given=False)
        said = credentials if isinstance(credentials, str) else credentials.decode("latin-1")
        known = None
        if said[: len(_SCHEME)].lower() == _SCHEME:  # names of schemes have no case (RFC 9110)
            known = self._tokens.scopes(said[len(_SCHEME) :].strip())
        if known is None:
            return NoCredentialsError(given=True)
        if (known | self._anonymous) & wanted:
            return None
        return ScopeMissingError(sorted(wanted))


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def _read(file: Path) -> dict[bytes, frozenset[Scope]]:
    """Digests of the tokens in a file, and their scopes."""
    try:
        with file.open("rb") as stream:
            data = stream.read(_MAX_FILE_BYTES + 1)
        if len(data) > _MAX_FILE_BYTES:
            raise ValueError(f"the token file {file} is larger than 1 MiB")
        text = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the token file {file} cannot be read: {error}") from error
    tokens: dict[bytes, frozenset[Scope]] = {}
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        token, scopes = words[0], words[1:]
        where = f"line {number} of the token file {file}"
        if len(token) < _MIN_CHARACTERS or not (token.isascii() and token.isprintable()):
            raise ValueError(
                f"{where}: a token is {_MIN_CHARACTERS} or more printable ASCII characters"
            )
        names = ",".join(scopes).split(",")
        # Not the word itself: it may be a part of a secret that has a space in it.
        if len(scopes) != 1 or not set(names) <= {*Scope}:
            raise ValueError(
                f"{where}: after the token come its scopes, with commas and no spaces between "
                f"them: {', '.join(Scope)}"
            )
        digest = _digest(token.encode())
        if digest in tokens:
            raise ValueError(f"{where}: this token is on another line, too")
        tokens[digest] = frozenset(Scope(name) for name in names)
    if not tokens:
        raise ValueError(f"the token file {file} holds no token")
    return tokens

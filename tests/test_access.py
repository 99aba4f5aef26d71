"""Who may call what: which tokens a file holds, and what each of them opens."""

import logging

import pytest
from grpc_health.v1 import health_pb2
from twinhead.server.access import EVERYTHING, Access, Scope, TokenFile
from twinhead.server.errors import NoCredentialsError, ScopeMissingError
from twinhead.v1 import inference_service_pb2, model_admin_service_pb2, model_service_pb2

TOKEN = "correct-horse-battery-staple"
OTHER = "hunter2-hunter2-hunter2"
ALL = f"{TOKEN} infer,read,admin"
OTHER_ALL = f"{OTHER} infer,read,admin"
INFER, READ, ADMIN = ({scope} for scope in Scope)
ANY_TOKEN = set(EVERYTHING)
EVERYBODY = None

WHO_MAY = {
    "/twinhead.v1.InferenceService/Infer": INFER,
    "/twinhead.v1.InferenceService/StreamInfer": INFER,
    "/twinhead.v1.ModelService/GetModel": INFER | READ,
    "/twinhead.v1.ModelService/WatchModel": INFER | READ,
    "/twinhead.v1.ModelAdminService/ListVersions": READ | ADMIN,
    "/twinhead.v1.ModelAdminService/GetStatus": READ | ADMIN,
    "/twinhead.v1.ModelAdminService/PushWeights": ADMIN,
    "/twinhead.v1.ModelAdminService/ActivateVersion": ADMIN,
    "/inference.GRPCInferenceService/ModelInfer": INFER,
    "/inference.GRPCInferenceService/ModelMetadata": INFER | READ,
    "/inference.GRPCInferenceService/ServerMetadata": INFER | READ,
    "/inference.GRPCInferenceService/ServerLive": EVERYBODY,
    "/inference.GRPCInferenceService/ServerReady": EVERYBODY,
    "/inference.GRPCInferenceService/ModelReady": EVERYBODY,
    "/tei.v1.Info/Info": INFER | READ,
    "/tei.v1.Embed/Embed": INFER,
    "/tei.v1.Embed/EmbedStream": INFER,
    "/tei.v1.Predict/Predict": INFER,
    "/tei.v1.Tokenize/Decode": INFER,
    "/grpc.health.v1.Health/Check": EVERYBODY,
    "/grpc.health.v1.Health/Watch": EVERYBODY,
    "/grpc.health.v1.Health/List": EVERYBODY,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": ANY_TOKEN,
    # What nobody has thought of yet.
    "/twinhead.v1.ModelAdminService/Shutdown": ADMIN,
    "/twinhead.v2.InferenceService/Infer": ANY_TOKEN,
    "/grpc.health.v1.Healthy/Check": ANY_TOKEN,
    "": ANY_TOKEN,
}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "tokens"


@pytest.fixture
def look_always(monkeypatch):
    monkeypatch.setattr("twinhead.server.access._LOOK_SECONDS", 0)


def replace(file, content: bytes | str) -> None:
    """Put another file in its place, as one does."""
    new = file.with_name("new")
    new.write_bytes(content if isinstance(content, bytes) else content.encode())
    new.replace(file)


def read(file, content: bytes | str) -> TokenFile:
    replace(file, content)
    return TokenFile(file)


# --- what a file may hold


@pytest.mark.parametrize(
    "content",
    [
        ALL,
        f"{ALL}\n",
        f"  {ALL}\r\n\n",
        f"\ufeff{ALL}\r\n",
        f"# The fleet's.\n\n\t{ALL}\n   # Another remark, with more words.\n",
        f"#{OTHER}\n{ALL}",
        f"{TOKEN}\tadmin,read,infer,read  \r\n",
    ],
)
def test_a_token_with_all_scopes_may_do_everything(file, content):
    tokens = read(file, content)
    assert tokens.scopes(TOKEN) == EVERYTHING
    for other in (OTHER, f"#{OTHER}", TOKEN[:-1], f"{TOKEN}x", TOKEN.upper(), "", "#", "infer"):
        assert tokens.scopes(other) is None, other


@pytest.mark.parametrize(
    ("said", "scopes"),
    [("infer", INFER), ("read", READ), ("admin", ADMIN), ("read,infer", READ | INFER)],
)
def test_scopes_that_are_named_are_all_it_has(file, said, scopes):
    assert read(file, f"{TOKEN} {said}\n").scopes(TOKEN) == scopes


def test_each_line_is_a_token_of_its_own(file):
    tokens = read(file, f"{TOKEN} infer\r\n# Theirs:\r\n{OTHER} read\r\n{OTHER}x admin\r\n")
    assert tokens.scopes(TOKEN) == INFER
    assert tokens.scopes(OTHER) == READ
    assert tokens.scopes(f"{OTHER}x") == ADMIN


def test_sixteen_characters_of_any_kind_are_enough(file):
    token = "!\"#$%&'()*+,-./~"
    assert len(token) == 16
    assert read(file, f"{token} read").scopes(token) == READ


def test_a_file_of_one_mebibyte_is_read(file):
    first = f"{ALL}\n#"
    tokens = read(file, first + "x" * ((1 << 20) - len(first)))
    assert file.stat().st_size == 1 << 20
    assert tokens.scopes(TOKEN) == EVERYTHING


A_TOKEN_IS = "a token is 16 or more printable ASCII characters"
SCOPES_ARE = "after the token come its scopes, with commas and no spaces between them: infer, read,"
PART = "correct-horse"


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        pytest.param(f"{PART}\n", 1, A_TOKEN_IS, id="short"),
        pytest.param(f"{PART}\n{ALL}\n", 1, A_TOKEN_IS, id="short before a good one"),
        pytest.param(f"\ufeff\r\n{PART}-straße-straße\r\n", 2, A_TOKEN_IS, id="umlaut"),
        pytest.param(f"{TOKEN}\x00\n", 1, A_TOKEN_IS, id="control character"),
        # A line that is half written must not say more than the whole one.
        pytest.param(TOKEN, 1, SCOPES_ARE, id="token alone"),
        pytest.param(f"{OTHER_ALL}\r\n{TOKEN} \r\n", 2, SCOPES_ARE, id="token and a space"),
        pytest.param(f"{TOKEN} in", 1, SCOPES_ARE, id="half a scope"),
        pytest.param(f"#\n\n{TOKEN} infer read\n", 3, SCOPES_ARE, id="two words of scopes"),
        pytest.param(f"{TOKEN} infer, read\n", 1, SCOPES_ARE, id="space after the comma"),
        pytest.param(f"{TOKEN} write\n", 1, SCOPES_ARE, id="unknown scope"),
        pytest.param(f"{TOKEN} infer,write\n", 1, SCOPES_ARE, id="known and unknown scope"),
        pytest.param(f"{TOKEN} Infer\n", 1, SCOPES_ARE, id="scope in capitals"),
        pytest.param(f"{TOKEN} infer,\n", 1, SCOPES_ARE, id="comma at the end"),
        pytest.param(f"{TOKEN} ,\n", 1, SCOPES_ARE, id="comma alone"),
        pytest.param(f"{TOKEN} # mine\n", 1, SCOPES_ARE, id="remark at the end"),
        pytest.param(f"{OTHER} {TOKEN}\n", 1, SCOPES_ARE, id="two tokens on a line"),
        pytest.param(f"{TOKEN}\rinfer\r{OTHER}\r", 1, SCOPES_ARE, id="carriage returns alone"),
        pytest.param(f"{TOKEN}\u00a0x\n", 1, SCOPES_ARE, id="hard space"),
        pytest.param(
            f"{ALL}\n{OTHER_ALL}\n{TOKEN} infer\n",
            3,
            "this token is on another line, too",
            id="twice",
        ),
    ],
)
def test_a_line_that_is_not_as_it_should_be_is_named(file, content, line, said):
    with pytest.raises(ValueError, match=f"^line {line} of the token file {file}: ") as caught:
        read(file, content)
    assert said in str(caught.value)
    # It is a secret, or was meant to be one; so are its parts.
    for secret in (PART, OTHER, "straße", "write"):
        assert secret not in str(caught.value)


@pytest.mark.parametrize("content", ["", "\n", "\ufeff", "# Not yet.\n\r\n   \n"])
def test_a_file_without_a_token_is_no_token_file(file, content):
    with pytest.raises(ValueError, match=f"^the token file {file} holds no token$"):
        read(file, content)


def test_bytes_that_are_no_text(file):
    for content in (TOKEN.encode() + b"\xff", TOKEN.encode("utf-16")):
        with pytest.raises(ValueError, match=f"^the token file {file} cannot be read: ") as caught:
            read(file, content)
        assert PART not in str(caught.value)


def test_a_file_that_is_not_there_or_none(tmp_path):
    with pytest.raises(ValueError, match=r"/missing cannot be read: .*No such file"):
        TokenFile(tmp_path / "missing")
    with pytest.raises(ValueError, match=r"cannot be read: .*Is a directory"):
        TokenFile(tmp_path)


def test_a_file_that_is_too_large(file):
    with pytest.raises(ValueError, match=f"^the token file {file} is larger than 1 MiB$"):
        read(file, f"{ALL}\n" + "#" * (1 << 20))


def test_nothing_that_is_kept_or_shown_holds_a_token(file, look_always, caplog):
    caplog.set_level(logging.DEBUG)
    tokens = read(file, f"{ALL}\n")
    access = Access(tokens)
    replace(file, f"{ALL}\n{OTHER_ALL}\n")
    assert access.refusal("/twinhead.v1.ModelService/GetModel", f"Bearer {OTHER}") is None
    replace(file, f"{TOKEN} {OTHER}\n")
    refused = access.refusal("/twinhead.v1.ModelService/GetModel", f"Bearer {OTHER}{TOKEN}")
    assert isinstance(refused, NoCredentialsError)
    assert len(caplog.records) == 2
    for text in (repr(tokens), repr(access), repr(vars(tokens)), str(refused), caplog.text):
        assert TOKEN not in text
        assert OTHER not in text


# --- a file that changes


def test_a_file_that_changes_is_read_again(file, look_always, caplog):
    caplog.set_level(logging.INFO)
    tokens = read(file, f"{TOKEN} infer\n")
    replace(file, f"{TOKEN} read\n")
    assert tokens.scopes(TOKEN) == READ
    with file.open("a") as stream:  # in place: the same file, but larger
        stream.write(f"{OTHER_ALL}\n")
    assert tokens.scopes(OTHER) == EVERYTHING
    assert [record.getMessage() for record in caplog.records] == [
        f"1 tokens from {file}",
        f"2 tokens from {file}",
    ]


def test_a_file_that_stays_is_not_read_again(file, look_always, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    tokens = read(file, ALL)
    assert tokens.scopes(TOKEN) == tokens.scopes(TOKEN) == EVERYTHING
    assert not caplog.records


def test_it_is_not_looked_at_with_every_call(file, monkeypatch):
    monkeypatch.setattr("twinhead.server.access._LOOK_SECONDS", 3600)
    tokens = read(file, ALL)
    replace(file, OTHER_ALL)
    assert tokens.scopes(TOKEN) == EVERYTHING
    assert tokens.scopes(OTHER) is None
    monkeypatch.setattr("twinhead.server.access._LOOK_SECONDS", 0)
    assert tokens.scopes(TOKEN) is None
    assert tokens.scopes(OTHER) == EVERYTHING


def test_a_file_behind_a_link_that_is_turned_is_another(tmp_path, look_always):
    # As Kubernetes changes its secrets.
    for name, line in (("first", ALL), ("second", OTHER_ALL)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tokens").write_text(line)
    link = tmp_path / "data"
    link.symlink_to("first")
    tokens = TokenFile(link / "tokens")
    assert tokens.scopes(TOKEN) == EVERYTHING
    (tmp_path / "turned").symlink_to("second")
    (tmp_path / "turned").replace(link)
    assert tokens.scopes(TOKEN) is None
    assert tokens.scopes(OTHER) == EVERYTHING


def test_a_token_is_changed_with_both_of_them_valid_for_a_while(file, look_always):
    access = Access(read(file, ALL))
    method = "/twinhead.v1.ModelAdminService/PushWeights"

    def let_in() -> list[bool]:
        return [access.refusal(method, f"Bearer {each}") is None for each in (TOKEN, OTHER)]

    assert let_in() == [True, False]
    replace(file, f"{ALL}\n{OTHER_ALL}\n")
    assert let_in() == [True, True]
    replace(file, OTHER_ALL)
    assert let_in() == [False, True]


@pytest.mark.parametrize("bad", ["", OTHER, f"{OTHER} everything", "x", b"\xff", None])
def test_a_bad_file_leaves_the_tokens_from_before(file, look_always, caplog, bad):
    tokens = read(file, f"{TOKEN} infer")
    if bad is None:
        file.unlink()
    else:
        replace(file, bad)
    for _ in range(3):
        assert tokens.scopes(TOKEN) == INFER
        assert tokens.scopes(OTHER) is None
    (record,) = caplog.records  # said once, not with each call
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith("the tokens stay as they were: ")
    assert str(file) in record.getMessage()
    replace(file, f"{OTHER} read")
    assert tokens.scopes(TOKEN) is None
    assert tokens.scopes(OTHER) == READ


def test_the_same_file_is_read_again_once_it_is_back(file, look_always):
    tokens = read(file, ALL)
    away = file.rename(file.with_name("away"))
    assert tokens.scopes(TOKEN) == EVERYTHING
    away.rename(file)
    assert tokens.scopes(TOKEN) == EVERYTHING


# --- what a token opens


def test_every_method_that_there_is_is_in_the_table():
    files = (inference_service_pb2, model_service_pb2, model_admin_service_pb2, health_pb2)
    offered = {
        f"/{service.full_name}/{method.name}"
        for file in files
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert offered <= set(WHO_MAY)


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("method", WHO_MAY)
def test_a_scope_opens_its_methods_and_no_others(file, method, scope):
    access = Access(read(file, f"{TOKEN} {scope}\n{OTHER_ALL}\n"))
    wanted = WHO_MAY[method]
    refused = access.refusal(method, f"Bearer {TOKEN}")
    if wanted is EVERYBODY or scope in wanted:
        assert refused is None
    else:
        assert isinstance(refused, ScopeMissingError)
        assert refused.metadata() == {"scopes": ",".join(sorted(wanted))}
    assert access.refusal(method, f"Bearer {OTHER}") is None  # it has all


@pytest.mark.parametrize("method", WHO_MAY)
def test_without_a_token_only_health_is_told(file, method):
    access = Access(read(file, ALL))
    for credentials in (None, "", f"Bearer {OTHER}"):
        refused = access.refusal(method, credentials)
        if WHO_MAY[method] is EVERYBODY:
            assert refused is None
        else:
            assert isinstance(refused, NoCredentialsError)


@pytest.mark.parametrize("method", WHO_MAY)
def test_without_a_token_file_everything_is_open(method):
    for credentials in (None, "", f"Bearer {TOKEN}"):
        assert Access(None).refusal(method, credentials) is None


@pytest.mark.parametrize("anonymous", [["infer"], ["read"], ["read", "infer"]])
@pytest.mark.parametrize("method", WHO_MAY)
def test_those_without_a_token_may_be_given_scopes(file, method, anonymous):
    access = Access(read(file, f"{TOKEN} admin"), anonymous)
    wanted = WHO_MAY[method]
    refused = access.refusal(method, None)
    if wanted is EVERYBODY or wanted & set(anonymous):
        assert refused is None
        # Whoever shows a token may do no less.
        assert access.refusal(method, f"Bearer {TOKEN}") is None
    else:
        assert isinstance(refused, NoCredentialsError)
        assert str(refused) == "a token is needed"


def test_a_wrong_token_is_told_also_where_none_is_needed(file):
    # Whoever shows one means to use it, and should know that it is not valid any more.
    access = Access(read(file, ALL), ["infer"])
    refused = access.refusal("/twinhead.v1.InferenceService/Infer", f"Bearer {OTHER}")
    assert isinstance(refused, NoCredentialsError)
    assert str(refused) == "the token is not the right one"


def test_a_scope_that_nobody_knows_is_not_given_to_anybody():
    with pytest.raises(ValueError, match="'write' is not a valid Scope"):
        Access(None, ["write"])


# --- how a token is shown


@pytest.mark.parametrize(
    "header",
    [
        f"Bearer {TOKEN}",
        f"bearer {TOKEN}",
        f"BEARER {TOKEN}",
        f"Bearer   {TOKEN} ",
        f"Bearer {TOKEN}".encode(),
    ],
)
def test_a_header_with_the_token(file, header):
    access = Access(read(file, ALL))
    assert access.refusal("/twinhead.v1.InferenceService/Infer", header) is None


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer  ",
        TOKEN,
        f"Bearer{TOKEN}",
        f"Bearer\t{TOKEN}",
        f"Basic {TOKEN}",
        f"Bearer Bearer {TOKEN}",
        f"Bearer {TOKEN},",
        f"Bearer {TOKEN} infer",
        f'Bearer "{TOKEN}"',
        f" Bearer {TOKEN}",
        "Bearer straße-straße-straße",
        b"\xff\xfe",
        b"Bearer \xff\xfe",
        b"",
    ],
)
def test_a_header_without_it(file, header):
    refused = Access(read(file, ALL)).refusal("/twinhead.v1.InferenceService/Infer", header)
    assert isinstance(refused, NoCredentialsError)
    assert str(refused) == "the token is not the right one"


def test_no_header_at_all(file):
    refused = Access(read(file, ALL)).refusal("/twinhead.v1.InferenceService/Infer", None)
    assert isinstance(refused, NoCredentialsError)
    assert str(refused) == "a token is needed"

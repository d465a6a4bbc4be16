"""AWS Signature, version 4, against botocore and the vendor's example; credentials and where they are found."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sourcebook.errors import ConfigError, NotAuthorised
from sourcebook.models.formats.bedrock import Bedrock
from sourcebook.models.formats.signing import Credentials, Profile, sign
from sourcebook.models.wire import HttpCall, Target
from sourcebook.testing.doubles import Seen
from sourcebook.testing.wire import ASKED
from tests.models.doubles.bedrock import signed_by_botocore

pytest.importorskip("botocore")

ARN = "arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/abc"


class TestSigning:
    NOW = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
    LATER = datetime(2030, 1, 1, tzinfo=UTC)

    @pytest.mark.parametrize("session", ["", "a-session-token=="])
    @pytest.mark.parametrize(
        "url",
        [
            "https://bedrock-runtime.us-east-1.amazonaws.com/model/us.anthropic.claude-opus-5-v1:0/converse",
            "https://bedrock-runtime.us-east-1.amazonaws.com:443/model/a%2Fb%3Ac/converse?x=1&b=%20&a=",
            "http://127.0.0.1:8080/",
            "http://127.0.0.1",
        ],
    )
    def test_as_botocore_signs(self, url: str, session: str) -> None:
        call = HttpCall(url=url, headers={"Content-Type": "application/json", "X-Two": " a   b "}, body=b'{"x":1}')
        signed = sign(
            call, Credentials(access_key="AKID", secret_key="s/e+c", session_token=session),
            region="us-east-1", service="bedrock", now=self.NOW,
        )  # fmt: skip
        headers = {name.lower(): value for name, value in signed.headers.items()}
        assert ("x-amz-security-token" in headers) == bool(session)
        host = url.split("/")[2].removesuffix(":443")
        path = "/" + "/".join(url.split("/")[3:])
        seen = Seen(method="POST", path=path, headers={**headers, "host": host}, query={}, body={}, raw=call.body)
        assert headers["authorization"] == signed_by_botocore(seen, "AKID", "s/e+c", session, "us-east-1")

    def test_the_vendors_own_example(self) -> None:
        """From the AWS General Reference: the signature of a GET of ListUsers, published with its parts."""
        call = HttpCall(
            method="GET",
            url="https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08",
            headers={"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"},
        )
        credentials = Credentials(access_key="AKIDEXAMPLE", secret_key="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
        now = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
        signed = sign(call, credentials, region="us-east-1", service="iam", now=now)
        assert signed.headers["Authorization"].endswith(
            "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        )

    def test_only_headers_depend_on_the_time(self) -> None:
        target = Target(provider="v", base="http://x", model="m", key="A123:b", options={"region": "r"})
        now, later = (Bedrock(target, clock=clock).call(ASKED) for clock in (lambda: self.NOW, lambda: self.LATER))
        assert now.body == later.body
        assert now.headers != later.headers
        assert Bedrock(target, clock=lambda: self.NOW).call(ASKED) == now

    def test_credentials_are_not_shown(self) -> None:
        credentials = Credentials.of("AKID:very-secret:and-a-token")
        assert credentials is not None
        assert credentials.session_token == "and-a-token"
        assert "secret" not in repr(credentials)
        assert "token" not in repr(credentials).replace("session_token", "")
        assert Credentials.of("bedrock-api-key-YmVkcm9jaw==") is None


class TestProfiles:
    def _profile(self, folder: Path, name: str = "", **environment: str) -> Profile:
        return Profile(name, {"HOME": str(folder), **environment})

    def _write(self, folder: Path) -> None:
        (folder / ".aws").mkdir()
        (folder / ".aws" / "credentials").write_text(
            "[default]\naws_access_key_id = AK1\naws_secret_access_key = s1%%\n"
            "[work]\naws_access_key_id=AK2\naws_secret_access_key=s2\naws_session_token=t2\n"
        )
        (folder / ".aws" / "config").write_text(
            "[default]\nregion = eu-west-1\n[profile work]\nregion=us-west-2\n[profile sso]\nsso_session = x\n"
        )

    def test_the_default(self, tmp_path: Path) -> None:
        self._write(tmp_path)
        profile = self._profile(tmp_path)
        assert profile.region == "eu-west-1"
        assert profile.credentials() == Credentials(access_key="AK1", secret_key="s1%%")

    def test_a_named_one(self, tmp_path: Path) -> None:
        self._write(tmp_path)
        for profile in (self._profile(tmp_path, "work"), self._profile(tmp_path, AWS_PROFILE="work")):
            assert profile.region == "us-west-2"
            assert profile.credentials() == Credentials(access_key="AK2", secret_key="s2", session_token="t2")

    def test_changes_are_noticed(self, tmp_path: Path) -> None:
        self._write(tmp_path)
        profile = self._profile(tmp_path, "work")
        assert profile.credentials().access_key == "AK2"
        path = tmp_path / ".aws" / "credentials"
        path.write_text("[work]\naws_access_key_id=AK3\naws_secret_access_key=s3\n")
        os.utime(path, ns=(1, 1))
        assert profile.credentials().access_key == "AK3"

    def test_a_profile_that_is_named_comes_before_the_environment(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self._write(tmp_path)
        monkeypatch.setenv("HOME", str(tmp_path))
        target = Target(provider="v", base="http://x", model="m", key="AKID:secret", options={"profile": "work"})
        call = Bedrock(target).call(ASKED)
        assert "Credential=AK2/" in call.headers["Authorization"]
        assert "/us-west-2/bedrock/" in call.headers["Authorization"]

    @pytest.mark.parametrize("name", ["sso", "nobody", "default"])
    def test_none_that_is_simple(self, name: str, tmp_path: Path) -> None:
        if name == "sso":
            self._write(tmp_path)
        with pytest.raises(NotAuthorised, match=name):
            self._profile(tmp_path, name).credentials()

    def test_a_model_without_a_key(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._write(tmp_path)
        monkeypatch.setenv("HOME", str(tmp_path))
        for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            monkeypatch.delenv(name, raising=False)
        call = Bedrock(
            Target(provider="v", base="https://bedrock-runtime.amazonaws.com", model="amazon.nova-pro-v1:0")
        ).call(ASKED)
        assert call.url.startswith("https://bedrock-runtime.eu-west-1.amazonaws.com/model/amazon.nova-pro-v1:0/")
        assert "Credential=AK1/" in call.headers["Authorization"]
        assert "/eu-west-1/bedrock/" in call.headers["Authorization"]

    def test_a_region_in_china(self) -> None:
        target = Target(provider="v", base="https://bedrock-runtime.amazonaws.com", model="m", key="AKID:secret")
        call = Bedrock(replace(target, options={"region": "cn-north-1"})).call(ASKED)
        assert call.url.startswith("https://bedrock-runtime.cn-north-1.amazonaws.com.cn/model/m/")

    @pytest.mark.parametrize(
        ("base", "model", "region"),
        [
            ("https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "m", "us-gov-west-1"),
            ("https://vpce-1.bedrock-runtime.ap-southeast-2.vpce.amazonaws.com", "m", "ap-southeast-2"),
            ("http://127.0.0.1:9", ARN, "eu-central-1"),
        ],
    )
    def test_where_the_region_is_found(self, base: str, model: str, region: str) -> None:
        call = Bedrock(Target(provider="v", base=base, model=model, key="AKID:secret")).call(ASKED)
        assert f"/{region}/bedrock/" in call.headers["Authorization"]

    def test_no_region(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        with pytest.raises(ConfigError, match="region"):
            Bedrock(
                Target(provider="v", base="https://bedrock-runtime.amazonaws.com", model="m", key="AKID:secret")
            ).call(ASKED)

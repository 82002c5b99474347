"""Devices and precisions are picked by what the machine has, and refused in words that name only what it has."""

import pytest
import torch

from sr3.model import device
from sr3.model.config import ConfigError
from sr3.model.device import cpu_computes_bf16, pick_device, pick_precision

AVX2 = {"architecture": "x86_64", "avx2": True, "avx512_f": False, "avx512_bf16": False, "avx_ne_convert": False}
AVX512 = {**AVX2, "avx512_f": True, "avx512_bw": True, "avx512_dq": True, "avx512_vl": True}
CPUS = {
    "avx2": (AVX2, False),
    "avx512 without its parts": ({**AVX2, "avx512_f": True}, False),
    "avx512": (AVX512, True),
    "avx512 with bf16 and amx": ({**AVX512, "avx512_bf16": True, "amx_bf16": True}, True),
    "avx2 that converts": ({**AVX2, "avx_ne_convert": True}, True),
    "arm": ({"architecture": "aarch64", "neon": True, "bf16": False}, False),
    "arm with bf16": ({"architecture": "aarch64", "neon": True, "bf16": True}, True),
}


@pytest.fixture(autouse=True)
def _forget():
    cpu_computes_bf16.cache_clear()
    yield
    cpu_computes_bf16.cache_clear()


def has(monkeypatch, *kinds: str):
    """A machine with these accelerators, or none."""
    found = torch.device(kinds[0]) if kinds else None
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: found)

    def empty(*_, device: torch.device):
        if device.type not in ("cpu", *kinds):
            raise AssertionError("not compiled with it")

    monkeypatch.setattr(torch, "empty", empty)


@pytest.mark.parametrize("name", [None, "auto"])
def test_the_accelerator_is_picked_where_there_is_one(monkeypatch, name):
    for kind in ("cuda", "mps"):
        has(monkeypatch, kind)
        assert pick_device(name) == torch.device(kind)
    has(monkeypatch)
    assert pick_device(name) == torch.device("cpu")
    has(monkeypatch, "cuda")
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("cuda:1") == torch.device("cuda", 1)


def test_what_is_not_there_is_not_proposed(monkeypatch):
    has(monkeypatch)
    for name in ("cuda", "mps", "gpu"):
        with pytest.raises(ConfigError, match=f"^the device '{name}' cannot be used on this machine; try cpu$"):
            pick_device(name)
    has(monkeypatch, "mps")
    with pytest.raises(ConfigError, match="try cpu or mps$"):
        pick_device("cuda")


@pytest.mark.parametrize(("capabilities", "answer"), CPUS.values(), ids=CPUS)
def test_bf16_where_the_cpu_computes_in_it(monkeypatch, capabilities, answer):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    wanted = torch.bfloat16 if answer else torch.float32
    assert pick_precision("auto", torch.device("cpu")) == wanted
    # without oneDNN nothing computes in bf16
    cpu_computes_bf16.cache_clear()
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert pick_precision(None, torch.device("cpu")) == torch.float32


@pytest.mark.parametrize(
    ("kind", "answer"), [("AVX512", True), ("SVE256", True), ("AVX2", False), ("DEFAULT", False), ("NO AVX", False)]
)
def test_bf16_by_the_name_of_the_kernels(monkeypatch, kind, answer):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: kind)
    assert device.cpu_computes_bf16() == answer


def test_both_ways_agree_with_pytorch_on_this_machine(monkeypatch):
    """PyTorch's own answer has no public name."""
    true = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    assert cpu_computes_bf16() == true
    if torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512"):
        cpu_computes_bf16.cache_clear()
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
        assert cpu_computes_bf16() == true


def test_precisions_by_name(monkeypatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert [pick_precision(name, cpu) for name in ("fp32", "bf16", "fp16")] == [
        torch.float32,
        torch.bfloat16,
        torch.float16,
    ]
    with pytest.raises(ConfigError, match="no precision 'bf61'; did you mean bf16"):
        pick_precision("bf61", cpu)
    for yes, wanted in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda yes=yes: yes)
        assert pick_precision("auto", cuda) == wanted
    assert pick_precision("auto", torch.device("mps")) == torch.float32

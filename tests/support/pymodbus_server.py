#!/usr/bin/env python3
"""A Modbus server made with pymodbus, with every data type of docs/profiles.md in its registers.

    pymodbus_server.py tcp HOST PORT      serves Modbus TCP
    pymodbus_server.py rtu DEVICE BAUD    serves Modbus RTU, 8N1
    pymodbus_server.py profile            prints the profile `test-all-types`, which says where everything lies
    pymodbus_server.py expect             prints JSON: point -> the value as it must be printed, or "bad: reason"

A server prints "ready" when it listens and ends with its standard input or at SIGTERM.

Unit 1 holds the image, the same points for function 3 and, elsewhere, for function 4. Between groups of points lie registers that do
not exist. It refuses to be written (exception 1).
Unit 2 has an address hole: registers 0 to 9 and 20 to 29 hold 1000 + address, everything else is exception 2 (functions 3 and 4).
Unit 3, and any other, does not answer at all.

Words of types that pymodbus knows come from its convert_to_registers; halves, BCD and swapped bytes are made here. Expected values are
what was put in, or were worked out by hand and stand in the tables below.
"""

import asyncio
import json
import math
import os
import signal
import struct
import sys
import threading
from decimal import Decimal

from pymodbus.client.mixin import ModbusClientMixin
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

ORDERS = ["ABCD", "CDAB", "BADC", "DCBA"]
HOLE = 8          # registers that do not exist, between groups of points
MAX_GAP = 2       # what the profile allows a read to run across: less than a hole
FILLER = 0xDEAD   # registers that exist and belong to no point

KNOWN = {name: getattr(ModbusClientMixin.DATATYPE, known) for name, known in {
    "u16": "UINT16", "i16": "INT16", "u32": "UINT32", "i32": "INT32", "u64": "UINT64", "i64": "INT64", "f32": "FLOAT32", "f64": "FLOAT64",
}.items()}


# ---------------------------------------------------------------- words

def swap_bytes(words):
    return [(word & 0xFF) << 8 | word >> 8 for word in words]


def words_of(kind, value, order="ABCD"):
    """A value as register words. `raw16`, `raw32` and `raw64` are bit patterns, BCD is written digit by digit."""
    word_order = "little" if order in ("CDAB", "DCBA") else "big"
    if kind.startswith("raw"):
        kind = "u" + kind[3:]
    if kind in KNOWN:
        words = ModbusClientMixin.convert_to_registers(value, KNOWN[kind], word_order=word_order)
    elif kind == "f16":
        words = list(struct.unpack(">H", struct.pack(">e", value)))
    elif kind.startswith("bcd"):
        digits = str(value).zfill(int(kind[3:]) // 4)
        words = [int(digits[i:i + 4], 16) for i in range(0, len(digits), 4)]
        words = words[::-1] if word_order == "little" else words
    else:
        raise ValueError(kind)
    return swap_bytes(words) if order in ("BADC", "DCBA") else words


def text_words(text, chars=2, length=None):
    data = text if isinstance(text, bytes) else text.encode()
    if chars == 1:
        words = list(data)
    else:
        data += b"\0" * (len(data) % 2)
        words = [data[i] << 8 | data[i + 1] for i in range(0, len(data), 2)]
        if isinstance(text, str):
            assert words == ModbusClientMixin.convert_to_registers(text, ModbusClientMixin.DATATYPE.STRING)
        words = swap_bytes(words) if chars == "swapped" else words
    return words + [0] * ((length or len(words)) - len(words))


# ---------------------------------------------------------------- values as they must be printed

def plain(number):
    """A decimal without an exponent and without trailing zeros."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def shortest_f32(value):
    """The fewest digits that give the same 32 bits."""
    single = struct.unpack(">f", struct.pack(">f", value))[0]
    for digits in range(1, 10):
        text = f"{single:.{digits}g}"
        try:
            if struct.pack(">f", float(text)) == struct.pack(">f", single):
                return plain(Decimal(text))
        except OverflowError:    # rounded up beyond the largest single: more digits
            pass
    raise ValueError(value)


def printed(kind, value):
    if kind == "f64":
        return plain(Decimal(repr(value)))
    if kind == "f16":
        value = struct.unpack(">e", struct.pack(">e", value))[0]    # a half is printed as the single that it equals
    return shortest_f32(value) if kind in ("f16", "f32") else str(value)


# ---------------------------------------------------------------- the image

class Area:
    """Registers of one function with the points on them."""

    def __init__(self, letter, function, start):
        self.letter, self.function, self.at = letter, function, start
        self.words, self.points, self.expect = {}, {}, {}

    def skip(self, count):
        """Registers that exist and belong to no point."""
        self.write([FILLER] * count)

    def hole(self):
        self.at += HOLE

    def write(self, words):
        address = self.at
        for word in words:
            assert self.at not in self.words and 0 <= word <= 0xFFFF
            self.words[self.at] = word
            self.at += 1
        return address

    def point(self, address, name, kind, expect, **keys):
        name = f"x_{self.letter}_{name}"
        assert name not in self.points, name
        self.points[name] = {"address": address, "type": kind, **keys}
        self.expect[name] = expect

    def put(self, name, kind, value, expect, order="ABCD", stored=None, **keys):
        """A point on registers of its own. `stored` is the type that is written, where it is not the point's."""
        keys = ({"order": order} if order != "ABCD" else {}) | keys
        self.point(self.write(words_of(stored or kind, value, order)), name, kind, expect, **keys)

    def text(self, name, text, expect, chars=2, length=None, words=None):
        words = words or text_words(text, chars, length)
        keys = {"length": len(words)} | ({"chars": chars} if chars != 2 else {})
        self.point(self.write(words), name, "string", expect, **keys)


def orders(area):
    """Every type in every order. In 16 bits there are two: words cannot be swapped."""
    for kind, value in [
        ("u16", 0x1234), ("i16", -12345), ("f16", 1.5), ("bcd16", 1234),
        ("u32", 0x12345678), ("i32", -123456789), ("f32", 230.2), ("bcd32", 12345678),
        ("u64", 0x0123456789ABCDEF), ("i64", -81985529216486895), ("f64", -1234.5678), ("bcd64", 1234567890123456),
    ]:
        for order in ORDERS[::2] if kind.endswith("16") else ORDERS:
            area.put(f"{kind}_{order.lower()}", kind, value, printed(kind, value), order)
        if kind.startswith("bcd") and kind != "bcd16":
            area.hole()


def edges(area):
    """The lowest and the highest value of each type, and what is near them."""
    for bits in (16, 32, 64):
        top = 1 << bits
        area.put(f"u{bits}_zero", f"u{bits}", 0, "0")
        area.put(f"u{bits}_highest", f"u{bits}", top - 1, str(top - 1))
        area.put(f"i{bits}_highest", f"i{bits}", top // 2 - 1, str(top // 2 - 1))
        area.put(f"i{bits}_lowest", f"i{bits}", -top // 2, str(-top // 2))
        area.put(f"i{bits}_minus_one", f"i{bits}", -1, "-1")
    area.hole()
    for name, kind, value, expect in [
        ("f16_zero", "f16", 0.0, "0"), ("f16_highest", "f16", 65504.0, "65504"), ("f16_negative", "f16", -2.25, "-2.25"),
        ("f16_tenth", "f16", 0.1, "0.099975586"), ("f16_subnormal", "f16", 2.0 ** -24, "0.000000059604645"),
        ("f32_zero", "f32", 0.0, "0"), ("f32_whole", "f32", -50.0, "-50"), ("f32_tenth", "f32", 0.1, "0.1"),
        ("f32_third", "f32", 1 / 3, "0.33333334"), ("f32_large", "f32", 16777217.0, "16777216"),
        ("f32_highest", "f32", 3.4028234663852886e38, "340282350000000000000000000000000000000"),
        ("f32_small", "f32", 1.5e-7, "0.00000015"),
        ("f64_zero", "f64", 0.0, "0"), ("f64_tenth", "f64", 0.1, "0.1"), ("f64_third", "f64", 1 / 3, "0.3333333333333333"),
        ("f64_large", "f64", 9007199254740993.0, "9007199254740992"), ("f64_small", "f64", -2.5e-9, "-0.0000000025"),
    ]:
        assert expect == printed(kind, value), (name, printed(kind, value))
        area.put(name, kind, value, expect)
    area.put("f32_not_a_number", "f32", 0x7FC00000, "bad: not_finite", stored="raw32")
    area.put("f32_infinite", "f32", math.inf, "bad: not_finite")
    area.put("f32_minus_infinite", "f32", -math.inf, "bad: not_finite")
    area.put("f16_not_a_number", "f16", 0x7E00, "bad: not_finite", stored="raw16")
    area.put("f16_infinite", "f16", math.inf, "bad: not_finite")
    area.put("f64_not_a_number", "f64", 0x7FF8000000000000, "bad: not_finite", stored="raw64")
    area.put("f64_infinite", "f64", -math.inf, "bad: not_finite")
    area.hole()
    for name, kind, value, expect in [
        ("bcd16_zero", "bcd16", 0, "0"), ("bcd16_short", "bcd16", 42, "42"), ("bcd16_highest", "bcd16", 9999, "9999"),
        ("bcd32_highest", "bcd32", 99999999, "99999999"), ("bcd64_highest", "bcd64", 9999999999999999, "9999999999999999"),
    ]:
        area.put(name, kind, value, expect)
    area.put("bcd16_bad", "bcd16", 0x12A4, "bad: bad_digits", stored="raw16")
    area.put("bcd32_bad", "bcd32", 0xF0000001, "bad: bad_digits", stored="raw32")
    area.put("bcd64_bad", "bcd64", 0x123456789012345A, "bad: bad_digits", stored="raw64")
    area.hole()


def parts(area):
    """Bytes, bits and bit fields, several to a register."""
    for order in ("ABCD", "BADC"):
        keys = {} if order == "ABCD" else {"order": order}
        ending = order.lower()
        at = area.write(words_of("u16", 0xC87B, order))
        area.point(at, f"u8hi_{ending}", "u8hi", "200", **keys)
        area.point(at, f"u8lo_{ending}", "u8lo", "123", **keys)
        at = area.write(words_of("u16", 0x80FB, order))
        area.point(at, f"i8hi_{ending}", "i8hi", "-128", **keys)
        area.point(at, f"i8lo_{ending}", "i8lo", "-5", **keys)
        at = area.write(words_of("u16", 0x8142, order))
        for bit, expect in [(0, False), (1, True), (6, True), (7, False), (8, True), (9, False), (14, False), (15, True)]:
            area.point(at, f"bit{bit}_{ending}", "bool", expect, bit=bit, **keys)
        area.point(at, f"bit2_not_{ending}", "bool", True, bit=2, invert=True, **keys)
        area.point(at, f"bit15_not_{ending}", "bool", False, bit=15, invert=True, **keys)
        at = area.write(words_of("u16", 0x7C3A, order))
        for low, count, expect in [(0, 4, "10"), (4, 4, "3"), (8, 4, "12"), (12, 4, "7"), (3, 9, "391"), (0, 16, "31802"), (14, 1, "1")]:
            area.point(at, f"u16_bits{low}_{count}_{ending}", "u16", expect, bits=[low, count], **keys)
    area.skip(MAX_GAP)
    for order in ORDERS:
        keys = {} if order == "ABCD" else {"order": order}
        ending = order.lower()
        at = area.write(words_of("u32", 0x89ABCDEF, order))
        for low, count, expect in [(0, 8, "239"), (12, 8, "188"), (31, 1, "1"), (4, 24, "10140894"), (0, 32, "2309737967")]:
            area.point(at, f"u32_bits{low}_{count}_{ending}", "u32", expect, bits=[low, count], **keys)
        at = area.write(words_of("u64", 0xFEDCBA9876543210, order))
        for low, count, expect in [(0, 4, "0"), (28, 16, "43399"), (60, 4, "15"), (16, 32, "3130553940"), (0, 64, "18364758544493064720")]:
            area.point(at, f"u64_bits{low}_{count}_{ending}", "u64", expect, bits=[low, count], **keys)
    area.hole()


def codes(area):
    """Codes with texts, and bools of integers, which may share a register with them."""
    texts = {code: {"zh": zh, "en": en} for code, zh, en in [(1, "自动", "Auto"), (2, "手动", "Manual"), (4, "测试", "Test")]}
    at = area.write(words_of("u16", 4))
    area.point(at, "code", "u16", "4", texts=texts)
    area.point(at, "code_is_1_or_4", "u16", True, true_when=[1, 4])
    area.point(at, "code_is_2", "u16", False, true_when=[2])
    area.point(at, "code_is_not_2", "u16", True, true_when=[2], invert=True)
    area.put("code_without_text", "u16", 9, "9", texts=texts)
    area.put("code_negative", "i16", -3, "-3", texts={-3: {"zh": "故障", "en": "Fault"}})
    area.put("i16_is_minus_1", "i16", -1, True, true_when=[-1])
    area.put("u32_is_70000", "u32", 70000, True, "CDAB", true_when=[70000])
    at = area.write(words_of("u16", 0xF3A1))
    fitted = {"sentinels": {15: "not_fitted"}, "true_when": [2, 3, 4, 5, 10]}
    for low, expect in [(0, False), (4, True), (8, True), (12, "bad: not_fitted")]:
        area.point(at, f"nibble{low}_active", "u16", expect, bits=[low, 4], **fitted)
    area.point(at, "nibble4_code", "u16", "10", bits=[4, 4], texts={10: {"zh": "动作", "en": "Active"}}, sentinels={15: "not_fitted"})
    area.point(at, "nibble12_code", "u16", "bad: not_fitted", bits=[12, 4], texts={10: {"zh": "动作", "en": "Active"}},
               sentinels={15: "not_fitted"})
    at = area.write(words_of("u16", 0x0207))
    area.point(at, "u8hi_is_2", "u8hi", True, true_when=[2])
    area.point(at, "u8lo_is_2", "u8lo", False, true_when=[2])
    area.hole()


def scales(area):
    for name, kind, value, expect, keys in [
        ("u16_hundredth", "u16", 12345, "123.45", {"scale": "0.01"}), ("u16_zeros", "u16", 12300, "123", {"scale": "0.01"}),
        ("u16_nought", "u16", 0, "0", {"scale": "0.01"}), ("i16_tenth", "i16", -5, "-0.5", {"scale": "0.1"}),
        ("i16_negative", "i16", 125, "-12.5", {"scale": "-0.1"}), ("u16_times_1000", "u16", 65535, "65535000", {"scale": "1000"}),
        ("u16_times_2_5", "u16", 3, "7.5", {"scale": "2.5"}), ("u16_offset", "u16", 33338, "60.23", {"scale": "0.01", "offset": "-273.15"}),
        ("i16_offset_only", "i16", -40, "-0.5", {"offset": "39.5"}),
        ("u32_thousandth", "u32", 4294967295, "4294967.295", {"scale": "0.001"}),
        ("i32_thousandth", "i32", -2147483648, "-2147483.648", {"scale": "0.001"}),
        ("u64_millionth", "u64", 18446744073709551615, "18446744073709.551615", {"scale": "0.000001"}),
        ("i64_hundredth", "i64", -9223372036854775808, "-92233720368547758.08", {"scale": "0.01"}),
        ("u64_too_much", "u64", 18446744073709551615, "bad: overflow", {"scale": "10000000000"}),
        ("bcd32_tenth", "bcd32", 12345670, "1234567", {"scale": "0.1"}),
        ("bcd64_thousandth", "bcd64", 1234567, "1234.567", {"scale": "0.001"}),
        ("i8lo_half", "i8lo", 0x00FD, "-1.5", {"scale": "0.5"}), ("bits_tenth", "u16", 0x0370, "5.5", {"scale": "0.1", "bits": [4, 8]}),
        ("f32_thousandth", "f32", 1536.0, "1.536", {"scale": "0.001"}), ("f32_times_1000", "f32", 1.1, "1100", {"scale": "1000"}),
        ("f32_offset", "f32", 20.25, "19.75", {"offset": "-0.5"}), ("f16_tenth_of", "f16", 25.0, "2.5", {"scale": "0.1"}),
        ("f64_hundredth", "f64", 123456789.0, "1234567.89", {"scale": "0.01"}),
        ("u32_modulus", "u32", 9999999, "99999.99", {"scale": "0.01", "modulus": "100000"}),
        ("range_inside", "u16", 500, "500", {"range": [0, 500]}), ("range_above", "u16", 501, "bad: out_of_range", {"range": [0, 500]}),
        ("range_below", "i16", -51, "bad: out_of_range", {"range": [-50, 500]}),
        ("range_scaled", "u16", 5000, "50", {"scale": "0.01", "range": [0, 50]}),
        ("range_float_above", "f32", 500.5, "bad: out_of_range", {"range": [0, 500]}),
        ("range_float_inside", "f64", -0.5, "-0.5", {"range": [-0.5, 1.5]}),
    ]:
        area.put(f"scale_{name}" if "range" not in name else name, kind, value, expect, stored="u16" if kind == "i8lo" else None, **keys)
    area.hole()


def scales_from(area):
    """Factors that stand in registers: here first those registers, in a group of their own, then the points."""
    tenths = {0: "1", 1: "0.1", 2: "0.01", 3: "0.001"}
    units = {16: "1", 17: "0.01", 18: "0.001"}

    def from_(address, table, **keys):
        return {"address": address, **keys, **({"function": 4} if area.function == 4 else {}), "map": table}

    two, unit, unknown, minus, small = (area.write(words_of(kind, raw)) for kind, raw in [
        ("u16", 2), ("u16", 17), ("u16", 9), ("i16", -1), ("u16", 0x55FE)])
    area.point(two, "decimals", "u16", "2")
    wide = area.write(words_of("u32", 70000))
    area.hole()
    area.put("scale_from_u16", "u16", 12345, "123.45", scale_from=from_(two, tenths))
    area.put("scale_from_i32", "i32", -12345600, "-123456", scale_from=from_(two, tenths))
    area.put("scale_from_two", "i16", 1234, "0.1234", scale_from=[from_(unit, units), from_(two, tenths)])
    area.put("scale_from_and_scale", "u16", 1234, "6.17", scale="0.5", scale_from=from_(two, tenths))
    area.put("scale_from_and_offset", "u16", 1234, "112.34", offset="100", scale_from=from_(two, tenths))
    area.put("scale_from_negative", "u16", 1234, "123.4", scale_from=from_(minus, {-1: "0.1", 0: "1", 1: "10"}, type="i16"))
    area.put("scale_from_byte", "u16", 1234, "12.34", scale_from=from_(small, {-2: "0.01"}, type="i8lo"))
    area.put("scale_from_u32", "u16", 3, "210000", scale_from=from_(wide, {70000: "70000"}, type="u32"))
    area.put("scale_from_f32", "f32", 12.5, "0.125", scale_from=from_(two, tenths))
    area.put("scale_from_unknown", "u16", 1234, "bad: no_scale", scale_from=from_(unknown, tenths))
    area.put("scale_from_two_unknown", "u16", 1234, "bad: no_scale", scale_from=[from_(two, tenths), from_(unknown, units)])
    area.put("scale_from_range", "u16", 12345, "bad: out_of_range", range=[0, 100], scale_from=from_(two, tenths))
    area.put("scale_from_sentinel", "u16", 0xFFFF, "bad: not_available", sentinels={"0xFFFF": "not_available"},
             scale_from=from_(two, tenths))
    area.hole()


def sentinels(area):
    """Each reason once, and values beside the sentinel. The raw value is compared unsigned and before scaling."""
    for name, kind, raw, order, code, reason, keys in [
        ("u16", "u16", 0xFFFF, "ABCD", "0xFFFF", "not_available", {"scale": "0.1"}),
        ("u16_swapped", "u16", 0x7FFE, "BADC", "0x7FFE", "not_fitted", {}),
        ("i16", "i16", 0x8000, "ABCD", "0x8000", "over_range", {"scale": "0.1"}),
        ("u32", "u32", 0xFFFFFFFE, "CDAB", "0xFFFFFFFE", "under_range", {}),
        ("i32", "i32", 0x80000000, "DCBA", "0x80000000", "sensor_fault", {}),
        ("u64", "u64", 0xFFFFFFFFFFFFFFFF, "ABCD", "0xFFFFFFFFFFFFFFFF", "transducer_fault", {}),
        ("i64", "i64", 0x8000000000000000, "ABCD", "0x8000000000000000", "short_circuit", {}),
        ("f32", "f32", 0x7FC00000, "ABCD", "0x7FC00000", "open_circuit", {}),
        ("bcd16", "bcd16", 0xFFFF, "ABCD", "0xFFFF", "bad_data", {}),
        ("u8hi", "u8hi", 0xFF00, "ABCD", "255", "starting_up", {}),
        ("i8lo", "i8lo", 0x0080, "ABCD", "0x80", "not_available", {}),
        ("bits", "u16", 0x0F00, "ABCD", "15", "not_fitted", {"bits": [8, 4]}),
    ]:
        bits = {"u8hi": 16, "i8lo": 16}.get(kind) or int(kind.lstrip("uifbcd"))
        area.put(f"sentinel_{name}", kind, raw, f"bad: {reason}", order, stored=f"raw{bits}", sentinels={code: reason}, **keys)
    area.put("sentinel_beside_u16", "u16", 0xFFFE, "6553.4", scale="0.1", sentinels={"0xFFFF": "not_available"})
    area.put("sentinel_beside_i16", "i16", -1, "-0.1", scale="0.1", sentinels={"0x7FFF": "not_available", "0x7FFE": "over_range"})
    area.put("sentinel_half_u32", "u32", 0xFFFF, "65535", sentinels={"0xFFFFFFFF": "not_available"})
    area.put("sentinel_second", "u16", 0xFFF8, "bad: bad_data", sentinels={"0xFFFF": "not_available", "0xFFF8": "bad_data"})
    area.hole()


def texts(area):
    area.text("text", "Eastron SDM630", "Eastron SDM630", length=8)
    area.text("text_full", "ABCDEFGH", "ABCDEFGH")
    area.text("text_odd", "ABC", "ABC")
    area.text("text_blanks", "  DSE 7320  ", "DSE 7320")
    area.text("text_utf8", "水泵一号", "水泵一号", length=7)
    area.text("text_quotes", 'a"b\\c', 'a"b\\c')
    area.text("text_after_nul", b"V2\0\xff\xff\x01", "V2")
    area.text("text_empty", b"", "", length=2)
    area.text("text_one", "V1.2.3", "V1.2.3", chars=1, length=8)
    area.text("text_one_high_bytes", None, "AB", chars=1, words=[0x5541, 0xFF42, 0x2000])
    area.text("text_swapped", "ABB B23 112", "ABB B23 112", chars="swapped", length=6)
    area.text("text_control", b"AB\x01D", "bad: bad_text")
    area.text("text_not_utf8", b"\xff\xfeAB", "bad: bad_text")
    area.hole()


def last(area):
    """The last registers there are."""
    area.at = 65533
    area.put("u32_before_last", "u32", 0x00010002, "65538")
    area.put("u16_last", "u16", 4711, "4711")


GROUPS = [orders, edges, parts, codes, scales, scales_from, sentinels, texts]


def registers():
    """Both register areas. The second has its groups the other way round, so that an address means another thing in it."""
    holding, inputs = Area("h", 3, 0), Area("i", 4, 3)
    for group in GROUPS:
        group(holding)
    for group in reversed(GROUPS):
        group(inputs)
    last(holding)
    last(inputs)
    for area in (holding, inputs):
        for point in area.points.values():
            point["function"] = area.function
    return holding, inputs


BITS = "1011001110001111000010100110"    # coils 0 to 27; the inputs are the opposite
LAST_BITS = "0110"                       # bits 65532 to 65535


def bit_points():
    """Coils and discrete inputs: points with what they must print, and the bits of each."""
    points, expect, images = {}, {}, []
    for letter, function, flip in [("c", 1, False), ("d", 2, True)]:
        image = {at: (bit == "1") != flip for start, bits in [(0, BITS), (65532, LAST_BITS)] for at, bit in enumerate(bits, start)}
        for at, bit in image.items():
            invert = at % 7 == 3
            name = f"x_{letter}_bit{at}" + ("_not" if invert else "")
            points[name] = {"address": at, "type": "bool", "function": function} | ({"invert": True} if invert else {})
            expect[name] = bit != invert
        images.append(image)
    return points, expect, images


# ---------------------------------------------------------------- profile and expected values

def toml(value):
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def profile():
    holding, inputs = registers()
    lines = [
        "format = 1", 'name = "test-all-types"', 'maker = "Test"', 'model = "every data type in every order"', 'class = "any"',
        'source = "tests/support/pymodbus_server.py"', "checked_on_hardware = false", "", "[read]", f"max_gap = {MAX_GAP}", "",
        "[groups]", 'all = "1s"',
    ]
    for name, keys in (holding.points | inputs.points | bit_points()[0]).items():
        keys = {key: value for key, value in keys.items() if (key, value) != ("function", 3)}
        lines += ["", f"[points.{name}]"] + [f"{key} = {toml(value)}" for key, value in keys.items()] + ['group = "all"']
    return "\n".join(lines)


def expect():
    holding, inputs = registers()
    return holding.expect | inputs.expect | bit_points()[1]


# ---------------------------------------------------------------- the server

async def refuse_writes(_function, _start, _address, _count, _registers, values):
    return ExcCodes.ILLEGAL_FUNCTION if values else None


def runs(image, data_type):
    """An image as pymodbus wants it: one SimData for each run of addresses."""
    found = []
    for at in sorted(image):
        if not found or found[-1][0] + len(found[-1][1]) != at:
            found.append((at, []))
        found[-1][1].append(image[at])
    return [SimData(start, values=values, datatype=data_type) for start, values in found]


def devices():
    holding, inputs = registers()
    coils, discrete = bit_points()[2]
    image = (runs(coils, DataType.BITS), runs(discrete, DataType.BITS), runs(holding.words, DataType.REGISTERS),
             runs(inputs.words, DataType.REGISTERS))
    with_hole = {at: 1000 + at for at in [*range(10), *range(20, 30)]}
    return [
        SimDevice(1, simdata=image, action=refuse_writes),
        SimDevice(2, simdata=runs(with_hole, DataType.REGISTERS), use_bit_addressing=True, action=refuse_writes),
        SimDevice(0, simdata=SimData(0, datatype=DataType.REGISTERS)),    # any other unit: kept silent below
    ]


def answers_of(unit_at):
    """Drops what units other than 1 and 2 would say. `unit_at`: where a frame has its unit."""
    def trace(sending, frame):
        return b"" if sending and frame[unit_at] not in (1, 2) else frame
    return trace


async def serve(kind, where, number):
    common = {"context": devices(), "trace_packet": answers_of(6 if kind == "tcp" else 0)}
    if kind == "tcp":
        server = ModbusTcpServer(address=(where, number), **common)
    else:
        server = ModbusSerialServer(port=where, baudrate=number, **common)
    await server.serve_forever(background=True)
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, stop.set)

    def watch_input():
        while os.read(0, 4096):
            pass
        loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=watch_input, daemon=True).start()
    print("ready", flush=True)
    await stop.wait()
    await server.shutdown()


def main(arguments):
    match arguments:
        case ["profile"]:
            print(profile())
        case ["expect"]:
            print(json.dumps(expect(), ensure_ascii=False, indent=1))
        case ["tcp" | "rtu" as kind, where, number] if number.isdecimal():
            asyncio.run(serve(kind, where, int(number)))
        case _:
            sys.exit("usage: pymodbus_server.py tcp HOST PORT | rtu DEVICE BAUD | profile | expect")


if __name__ == "__main__":
    main(sys.argv[1:])

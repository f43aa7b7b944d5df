#!/usr/bin/env python3
"""Writes the captures of the electricity meters: python3 tests/captures/make.py (Python 3.11, pymodbus 3).

What is put in stands in the tables below: a value as the text that must come out, or a reason with the raw value that stands
for it. Where a value lies and how it is written comes from the profile; the words are written by pymodbus.
"""
import pathlib
import struct
import tomllib
from decimal import Decimal

from pymodbus.client.mixin import ModbusClientMixin as Client

HERE = pathlib.Path(__file__).resolve().parent
PROFILES = HERE.parent.parent / "config" / "profiles"
TYPE = Client.DATATYPE
KINDS = {
    "u16": TYPE.UINT16, "i16": TYPE.INT16, "u32": TYPE.UINT32, "i32": TYPE.INT32,
    "u64": TYPE.UINT64, "i64": TYPE.INT64, "f32": TYPE.FLOAT32, "f64": TYPE.FLOAT64,
}
RAW = {1: TYPE.UINT16, 2: TYPE.UINT32, 4: TYPE.UINT64}
HOW = "words written by pymodbus' convert_to_registers; expected values are what was put in (make.py)"


class Bad:
    """A point that must come out bad: the reason, and the raw unsigned value, or the value, that is in the registers."""

    def __init__(self, reason, raw=None, value=None):
        self.reason, self.raw, self.value = reason, raw, value


def phases(pattern, values):
    """{"voltage_l{}_v": three values} for L1, L2, L3."""
    return {pattern.format(n): v for n, v in zip((1, 2, 3), values)}


def lines(pattern, values):
    return {pattern.format(n): v for n, v in zip(("l1_l2", "l2_l3", "l3_l1"), values)}


def short32(value):
    """The shortest decimal that a float32 reads back from."""
    packed = struct.pack(">f", value)
    for digits in range(1, 10):
        text = f"{value:.{digits}g}"
        if struct.pack(">f", float(text)) == packed:
            return Decimal(text)
    raise ValueError(value)


def plain(number):
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("", "-0") else text


def words_of(point, read, value):
    kind = point["type"]
    order = {"ABCD": "big", "CDAB": "little"}[point.get("order", read["order"])]
    if kind == "string":
        assert point["chars"] == 1, "only one character to a register is needed here"
        text = value.ljust(point["length"], "\0")
        return [w for c in text for w in Client.convert_to_registers(ord(c), TYPE.UINT16)]
    datatype = KINDS[kind]
    if isinstance(value, Bad) and value.raw is not None:
        width = len(Client.convert_to_registers(0, datatype))
        return Client.convert_to_registers(value.raw, RAW[width], word_order=order)
    text = value.value if isinstance(value, Bad) else value
    scale, offset = Decimal(point.get("scale", "1")), Decimal(point.get("offset", "0"))
    raw = (Decimal(text) - offset) / scale
    if kind.startswith("f"):
        if not isinstance(value, Bad):
            number = struct.unpack(">f", struct.pack(">f", float(raw)))[0]
            assert plain(short32(number) * scale + offset) == text, (text, number)
            assert scale == 1 or Decimal(number) == raw, f"{text}: choose a value that a float holds exactly"
        return Client.convert_to_registers(float(raw), datatype, word_order=order)
    assert raw == raw.to_integral_value(), (point, text)
    assert isinstance(value, Bad) or plain(raw * scale + offset) == text, text
    return Client.convert_to_registers(int(raw), datatype, word_order=order)


def blocks(points, read, values, filler):
    image = {}
    for name, point in points.items():
        function = point.get("function", read["function"])
        start = point["address"] - read.get("base", 0)
        for i, word in enumerate(words_of(point, read, values[name])):
            assert (function, start + i) not in image, f"{name} overlaps"
            image[function, start + i] = word
    for (function, address) in sorted(image):  # what a read may run across
        for gap in range(1, read.get("max_gap", 0) + 2):
            if (function, address + gap) in image:
                for i in range(1, gap):
                    image[function, address + i] = filler[(i - 1) % len(filler)]
                break
    keys, rows = sorted(image), []
    for key in keys:
        function, address = key
        last = rows[-1] if rows else None
        if last and last[0] == function and last[1] + len(last[2]) == address and len(last[2]) < 16:
            last[2].append(image[key])
        else:
            rows.append((function, address, [image[key]]))
    return rows


def quote(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def capture(name, filler, scenes, how=HOW):
    profile = tomllib.loads((PROFILES / f"{name}.toml").read_text())
    points, read = profile["points"], profile["read"]
    out = ["# Written by make.py: change it there.", f'profile = "{name}"', f"how = {quote(how)}"]
    for title, values in scenes:
        unknown, missing = values.keys() - points.keys(), points.keys() - values.keys()
        assert not unknown and not missing, (name, title, unknown, missing)
        out += ["", f"# {title}", "[[scene]]", "block = ["]
        for function, address, words in blocks(points, read, values, filler):
            text = " ".join(f"{w:04X}" for w in words)
            out.append(f'  {{ function = {function}, address = 0x{address:04X}, words = "{text}" }},')
        out += ["]", "", "[scene.expect]"]
        out += [f"{n} = {quote(values[n])}" for n in points if not isinstance(values[n], Bad)]
        bad = [f'{n} = "{values[n].reason}"' for n in points if isinstance(values[n], Bad)]
        out += ["", "[scene.bad]"] + bad if bad else []
    (HERE / f"{name}.toml").write_text("\n".join(out) + "\n")


# ------------------------------------------------------------------------------------------------------- Eastron SDM630

SDM630 = {
    **phases("voltage_l{}_v", ["230.2", "231.7", "229.5"]),
    **phases("current_l{}_a", ["12.5", "13.25", "0.75"]),
    **phases("power_l{}_kw", ["2.816", "-1.536", "0.1725"]),
    "power_kw": "1.4525",
    **phases("apparent_power_l{}_kva", ["2.8775", "3.07", "0.172125"]),
    **phases("reactive_power_l{}_kvar", ["0.592", "-0.5", "0"]),
    **phases("power_factor_l{}", ["0.98", "-0.95", "1"]),
    "voltage_avg_v": "230.467",
    "current_avg_a": "8.833",
    "current_sum_a": "26.5",
    "apparent_power_kva": "6.119625",
    "reactive_power_kvar": "0.092",
    "power_factor": "0.237",
    "frequency_hz": "49.98",
    **lines("voltage_{}_v", ["399.1", "398.6", "399.8"]),
    "voltage_ll_avg_v": "399.2",
    "current_n_a": "0.4",
    "energy_import_kwh": "12345.67",
    "energy_export_kwh": "98.76",
    "energy_reactive_import_kvarh": "1024.5",
    "energy_reactive_export_kvarh": "0.01",
    "demand_kw": "4.25",
    "max_demand_kw": "11.5",
    **phases("thd_voltage_l{}_pct", ["2.1", "1.9", "2"]),
    **phases("thd_current_l{}_pct", ["14.5", "120.25", "0"]),
    "thd_voltage_pct": "2",
    "thd_current_pct": "44.9",
    "energy_total_kwh": "12444.43",
    **phases("energy_import_l{}_kwh", ["4000.5", "5345.17", "3000"]),
    **phases("energy_export_l{}_kwh", ["0", "98.76", "0"]),
}
SDM630_THREE_WIRE = {
    **{name: "0" for name in SDM630},
    **lines("voltage_{}_v", ["400", "401.5", "399.75"]),
    **phases("current_l{}_a", ["5", "5.125", "4.875"]),
    "power_kw": "-3.5",
    "frequency_hz": Bad("out_of_range", value="500.5"),
    "power_factor": Bad("out_of_range", value="3.4028234663852886e38"),
    "energy_import_kwh": Bad("out_of_range", value="-1"),
    "voltage_ll_avg_v": Bad("out_of_range", value="16777216"),
}

# ---------------------------------------------------------------------------------------------------- Schneider iEM3000

IEM3000 = {
    **phases("current_l{}_a", ["2.602", "3.6125", "7.196"]),
    **phases("voltage_l{}_v", ["239.29", "240.94", "245.58"]),
    **phases("power_l{}_kw", ["0.602", "0.506", "-1.715"]),
    "power_kw": "-0.607",
    "current_avg_a": "4.47",
    **lines("voltage_{}_v", ["416.48", "418.66", "421.88"]),
    "voltage_ll_avg_v": "419.005",
    "voltage_avg_v": "241.94",
    "reactive_power_kvar": "-0.974",
    "apparent_power_kva": "1.1355",
    "x_power_factor_quadrant": "-1.4855",
    "frequency_hz": "50.07",
    "energy_import_kwh": "82872.323",
    "energy_export_kwh": "1043.1",
    "energy_reactive_import_kvarh": "188.966",
    "energy_reactive_export_kvarh": "4294967.296",
    **phases("energy_import_l{}_kwh", ["30404.881", "9007199254740.993", "0"]),
}
NAN, NAN8 = Bad("not_available", raw=0xFFC00000), Bad("not_available", raw=0xFFC00000FFC00000)
IEM3000_ONE_PHASE = {
    **phases("current_l{}_a", ["2.93106", NAN, NAN]),
    **phases("voltage_l{}_v", ["236.475", NAN, NAN]),
    **phases("power_l{}_kw", ["0.541", NAN, NAN]),
    "power_kw": "0.541",
    "current_avg_a": "2.93106",
    **lines("voltage_{}_v", [NAN, NAN, NAN]),
    "voltage_ll_avg_v": NAN,
    "voltage_avg_v": "236.475",
    "reactive_power_kvar": NAN,
    "apparent_power_kva": NAN,
    "x_power_factor_quadrant": "1.220588",
    "frequency_hz": "49.98",
    "energy_import_kwh": "490.245",
    "energy_export_kwh": NAN8,
    "energy_reactive_import_kvarh": NAN8,
    "energy_reactive_export_kvarh": NAN8,
    **phases("energy_import_l{}_kwh", ["490.245", NAN8, Bad("out_of_range", raw=0x8000000000000000)]),
}

# -------------------------------------------------------------------------------------------------------------- ABB B23

B23 = {
    **phases("voltage_l{}_v", ["239.8", "239.3", "240.2"]),
    **phases("current_l{}_a", ["0.5", "1.1", "650.25"]),
    "power_kw": "-155.32717",
    **phases("power_l{}_kw", ["0.06", "0.14425", "-155.53142"]),
    **lines("voltage_{}_v", ["414.9", "415.2", "415.7"]),
    "current_n_a": "0.07",
    "reactive_power_kvar": "-12.34567",
    **phases("reactive_power_l{}_kvar", ["0.00001", "-0.00001", "-12.34567"]),
    "apparent_power_kva": "155.81703",
    **phases("apparent_power_l{}_kva", ["0.1199", "0.26323", "156.19005"]),
    "frequency_hz": "49.99",
    "power_factor": "-0.997",
    **phases("power_factor_l{}", ["0.5", "0.548", "-1"]),
    "energy_import_kwh": "12345.67",
    "energy_export_kwh": "42949672.96",
    "energy_reactive_import_kvarh": "3430.99",
    "energy_reactive_export_kvarh": "1516.8",
    "energy_apparent_import_kvah": "99999999.99",
    "energy_apparent_export_kvah": "0",
    # The values of the worked example in the maker's manual 2CMC48001M0201, page 169: its words are these.
    **phases("energy_import_l{}_kwh", ["2013.62", "3012.81", "3538.77"]),
    **phases("energy_export_l{}_kwh", ["374.34", "728.59", "909.31"]),
    **phases("energy_reactive_import_l{}_kvarh", ["274.09", "271", "2885.9"]),
    **phases("energy_reactive_export_l{}_kvarh", ["253.17", "1005.13", "258.5"]),
}
NONE = {"u16": 0xFFFF, "i16": 0x7FFF, "u32": 0xFFFFFFFF, "i32": 0x7FFFFFFF, "u64": 0xFFFFFFFFFFFFFFFF}


def absent(profile, keep=()):
    points = tomllib.loads((PROFILES / f"{profile}.toml").read_text())["points"]
    return {n: Bad("not_available", raw=NONE[p["type"]]) for n, p in points.items() if n not in keep}


B23_NOTHING = absent("abb-b23")
# A basic variant: no export, no reactive energies, no power factor of a phase (seen in gonium/gosdm630 pulls 122 and 127).
B23_BASIC = {
    **B23_NOTHING,
    **phases("voltage_l{}_v", ["239.8", "239.3", "240.2"]),
    **phases("current_l{}_a", ["0.5", "1.1", "0.8"]),
    "power_kw": "0.00054",
    **phases("power_l{}_kw", ["0", "0.00054", "0"]),
    "frequency_hz": "50",
    "power_factor": "0.506",
    "energy_import_kwh": "0.01",
    **phases("energy_import_l{}_kwh", ["0.01", "0", "0"]),
}

# -------------------------------------------------------------------------------------------------- Carlo Gavazzi EM340

EM340 = {
    **phases("voltage_l{}_v", ["230.2", "231.7", "229.5"]),
    **phases("current_l{}_a", ["5.432", "65.536", "-0.001"]),
    **phases("power_l{}_kw", ["1.2405", "-15.1848", "0.0001"]),
    "power_kw": "-13.9442",
    **lines("voltage_{}_v", ["399.1", "398.6", "399.8"]),
    **phases("apparent_power_l{}_kva", ["1.2504", "15.1847", "0.0002"]),
    **phases("reactive_power_l{}_kvar", ["-0.1575", "6.5536", "0"]),
    "voltage_avg_v": "230.5",
    "voltage_ll_avg_v": "399.2",
    "apparent_power_kva": "16.4353",
    "reactive_power_kvar": "-0.0001",
    **phases("power_factor_l{}", ["0.992", "-1", "0.5"]),
    "power_factor": "-0.848",
    "phase_sequence": "1",
    "frequency_hz": "49.9",
    "energy_import_kwh": "6553.6",
    "energy_reactive_import_kvarh": "12345.6",
    "demand_kw": "-6.5537",
    "max_demand_kw": "18.25",
    **phases("energy_import_l{}_kwh", ["2000", "2222.2", "2331.4"]),
    "energy_import_t1_kwh": "4000.1",
    "energy_import_t2_kwh": "2553.5",
    "energy_export_kwh": "9999999.9",
    "energy_reactive_export_kvarh": "0.1",
    "serial_number": "235411W",
}
OVERFLOW = Bad("over_range", raw=0x7FFFFFFF)
EM340_OVERFLOW = {
    **{name: OVERFLOW for name in EM340},
    **phases("power_factor_l{}", [Bad("out_of_range", raw=0x7FFF), "1", "-0.001"]),
    "power_factor": Bad("out_of_range", raw=0x8000),
    "phase_sequence": "0",
    "frequency_hz": Bad("out_of_range", raw=0x7FFF),
    "energy_export_kwh": Bad("out_of_range", raw=0xFFFFFFFF),
    "serial_number": "SN00001",
}

if __name__ == "__main__":
    capture("eastron-sdm630", [0], [
        ("four wires, one phase exporting", SDM630),
        ("three wires: what is not there reads 0; four values that cannot be true", SDM630_THREE_WIRE),
    ])
    capture("schneider-iem3000", [0xFFC0, 0], [
        ("four wires, exporting in sum", IEM3000),
        ("one phase on a model without export and reactive measurement", IEM3000_ONE_PHASE),
    ])
    capture("abb-b23", [0xFFFF], [
        ("all quantities", B23),
        ("no quantity is available", B23_NOTHING),
        ("basic variant", B23_BASIC),
    ])
    capture("carlo-gavazzi-em340", [0], [
        ("L2 exporting", EM340),
        ("overflow of every 32-bit value but one", EM340_OVERFLOW),
    ])

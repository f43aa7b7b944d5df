#!/usr/bin/env python3
"""Writes the captures of the plant profiles: generator controller, pumps, level transmitters, contacts, rain gauge, transfer switch.

Each line below is a register (address, type, raw value) and what a reader must make of it. Both were worked out by hand from the
profile; pymodbus only turns raw values into words. Run it again after an edit: `python3 tests/captures/make_plant.py`.
"""

from pathlib import Path

from pymodbus.client.mixin import ModbusClientMixin

HERE = Path(__file__).resolve().parent
TYPES = {
    "u16": ModbusClientMixin.DATATYPE.UINT16,
    "i16": ModbusClientMixin.DATATYPE.INT16,
    "u32": ModbusClientMixin.DATATYPE.UINT32,
    "i32": ModbusClientMixin.DATATYPE.INT32,
}


def encode(kind, raw, low_word_first=False):
    if kind == "bit":
        return [int(raw)]
    if raw < 0 or not kind.startswith("i"):
        data_type = TYPES[kind]
    else:
        data_type = TYPES["u" + kind[1:]]    # a sentinel of a signed register is written as it stands
    return ModbusClientMixin.convert_to_registers(raw, data_type, word_order="little" if low_word_first else "big")


class Scene:
    """One register image with what it stands for. `filler` fills the unused registers that a read may run across."""

    def __init__(self, function, variant=None, note=None, filler=0, low_word_first=False, gap=12):
        self.function, self.variant, self.note = function, variant, note
        self.filler, self.low_word_first, self.gap = filler, low_word_first, gap
        self.words, self.expect, self.bad = {}, {}, {}

    def put(self, address, kind, raw, name=None, value=None, bad=None):
        for at, word in enumerate(encode(kind, raw, self.low_word_first), address):
            assert at not in self.words, f"{at} is written twice"
            self.words[at] = word
        if bad:
            self.bad[name] = bad
        elif name:
            self.expect[name] = value
        return self

    def say(self, **expect):
        self.expect.update(expect)
        return self

    def wrong(self, **bad):
        self.bad.update(bad)
        return self

    def blocks(self):
        runs = []
        for address in sorted(self.words):
            if runs and address - runs[-1][-1] <= self.gap and address >> 8 == runs[-1][-1] >> 8:
                runs[-1].append(address)
            else:
                runs.append([address])
        for run in runs:
            yield run[0], [self.words.get(at, self.filler) for at in range(run[0], run[-1] + 1)]


def text(value):
    return str(value).lower() if isinstance(value, bool) else f'"{value}"'


def write(profile, how, scenes):
    out = [f'profile = "{profile}"', f'how = "{how}"']
    alone = len(scenes) == 1
    prefix = "" if alone else "scene."
    for scene in scenes:
        if not alone:
            out += ["", "[[scene]]" + (f"                         # {scene.note}" if scene.note else "")]
            if scene.variant:
                out.append(f'variant = "{scene.variant}"')
        for address, words in scene.blocks():
            line = " ".join(f"{word:04X}" for word in words)
            out += ["", f"[[{prefix}block]]", f"function = {scene.function}", f"address = 0x{address:04X}", f'words = "{line}"']
        out += ["", f"[{prefix}expect]"] + [f"{name} = {text(value)}" for name, value in scene.expect.items()]
        if scene.bad:
            out += ["", f"[{prefix}bad]"] + [f'{name} = "{reason}"' for name, reason in scene.bad.items()]
    (HERE / f"{profile}.toml").write_text("\n".join(out) + "\n", encoding="utf-8")


WORDS = "raw values chosen by hand and written as words by pymodbus; expected values worked out by hand from the profile's scales"
BITS = "written by hand, one word for each input: 0000 off, 0001 on"


# ---------------------------------------------------------------- deepsea-dse

def dse_running(note, mode, state, running, selector_auto, on_test):
    s = Scene(3, note=note, filler=0xFFFF)
    s.say(running=running, selector_auto=selector_auto, on_test=on_test)
    s.put(768, "u16", 1).put(769, "u16", 7320)
    s.put(770, "u32", 305419896, "x_serial_number", "305419896")
    s.put(772, "u16", mode, "mode", str(mode))
    s.put(774, "u16", 0x0400).say(
        controller_fault=False, common_shutdown=False, common_trip=False, common_warning=True, controlled_shutdown=False)
    s.put(1024, "u16", 412, "oil_pressure_kpa", "412")
    s.put(1025, "i16", 84, "coolant_temperature_c", "84")
    s.put(1026, "i16", 91, "oil_temperature_c", "91")
    s.put(1027, "u16", 67, "fuel_pct", "67")
    s.put(1028, "u16", 279, "charge_alternator_v", "27.9")
    s.put(1029, "u16", 271, "battery_v", "27.1")
    s.put(1030, "u16", 1503, "speed_rpm", "1503")
    s.put(1031, "u16", 501, "frequency_hz", "50.1")
    for address, raw, name, value in [
        (1032, 2302, "voltage_l1_v", "230.2"), (1034, 2311, "voltage_l2_v", "231.1"), (1036, 2300, "voltage_l3_v", "230"),
        (1038, 3987, "voltage_l1_l2_v", "398.7"), (1040, 3995, "voltage_l2_l3_v", "399.5"), (1042, 3990, "voltage_l3_l1_v", "399"),
        (1044, 1204, "current_l1_a", "120.4"), (1046, 1187, "current_l2_a", "118.7"), (1048, 70000, "current_l3_a", "7000"),
        (1050, 3, "current_earth_a", "0.3"),
    ]:
        s.put(address, "u32", raw, name, value)
    for address, raw, name, value in [
        (1052, 26315, "power_l1_kw", "26.315"), (1054, 25900, "power_l2_kw", "25.9"), (1056, -1250, "power_l3_kw", "-1.25"),
        (1256, 1350, "charger_a", "1.35"), (1258, 27240, "charger_v", "27.24"),
    ]:
        s.put(address, "i32", raw, name, value)
    s.put(1357, "u16", 88, "oil_level_pct", "88").put(1359, "u16", 95, "coolant_level_pct", "95")
    s.put(1408, "u16", state, "engine_state", str(state))
    s.put(1536, "i32", 78215, "power_kw", "78.215")
    for i, (raw, value) in enumerate([(27710, "27.71"), (27431, "27.431"), (27600, "27.6")]):
        s.put(1538 + 2 * i, "u32", raw, f"apparent_power_l{i + 1}_kva", value)
    for i, (raw, value) in enumerate([(8660, "8.66"), (-4200, "-4.2"), (0, "0")]):
        s.put(1546 + 2 * i, "i32", raw, f"reactive_power_l{i + 1}_kvar", value)
    s.put(1558, "i16", 525, "load_pct", "52.5")
    s.put(1794, "i32", -3600, "x_maintenance_due_s", "-3600")
    s.put(1798, "u32", 309600, "run_s", "309600")
    s.put(1800, "u32", 123456, "energy_kwh", "12345.6")
    s.put(1802, "u32", 0, "energy_reverse_kwh", "0")
    s.put(1804, "u32", 130005, "energy_apparent_kvah", "13000.5")
    s.put(1806, "u32", 41230, "energy_reactive_kvarh", "4123")
    s.put(1808, "u32", 256, "starts", "256")
    return s


DSE = [    # mode, engine state; running, in automatic, on test
    dse_running("running on load; a model without a named alarm list", 1, 3, True, True, False),
    dse_running("test on load, warming up", 3, 2, True, False, True),
    dse_running("test off load, cooling down", 6, 4, True, False, True),
    dse_running("manual, post run", 2, 6, False, False, False),
    dse_running("automatic with manual restore, pre-start", 4, 1, False, True, False),
    dse_running("switched off, stopped", 7, 0, False, False, False),
]
SENTINELS = ["not_available", "over_range", "under_range", "transducer_fault", "bad_data", "not_fitted", "not_fitted", "bad_data"]
TOP = {"u16": 0xFFFF, "i16": 0x7FFF, "u32": 0xFFFFFFFF, "i32": 0x7FFFFFFF}


def dse_sentinels(s, turn):
    """Every reading at one of the top codes of its width, `turn` codes on from the last register."""
    lines = [(1024, "u16", "oil_pressure_kpa"), (1025, "i16", "coolant_temperature_c"), (1026, "i16", "oil_temperature_c"),
             (1027, "u16", "fuel_pct"), (1028, "u16", "charge_alternator_v"), (1029, "u16", "battery_v"), (1030, "u16", "speed_rpm"),
             (1031, "u16", "frequency_hz"), (1032, "u32", "voltage_l1_v"), (1034, "u32", "voltage_l2_v"), (1036, "u32", "voltage_l3_v"),
             (1038, "u32", "voltage_l1_l2_v"), (1040, "u32", "voltage_l2_l3_v"), (1042, "u32", "voltage_l3_l1_v"),
             (1044, "u32", "current_l1_a"), (1046, "u32", "current_l2_a"), (1048, "u32", "current_l3_a"), (1050, "u32", "current_earth_a"),
             (1052, "i32", "power_l1_kw"), (1054, "i32", "power_l2_kw"), (1056, "i32", "power_l3_kw"), (1256, "i32", "charger_a"),
             (1258, "i32", "charger_v"), (1357, "u16", "oil_level_pct"), (1359, "u16", "coolant_level_pct"), (1536, "i32", "power_kw"),
             (1538, "u32", "apparent_power_l1_kva"), (1540, "u32", "apparent_power_l2_kva"), (1542, "u32", "apparent_power_l3_kva"),
             (1546, "i32", "reactive_power_l1_kvar"), (1548, "i32", "reactive_power_l2_kvar"), (1550, "i32", "reactive_power_l3_kvar"),
             (1558, "i16", "load_pct"), (1794, "i32", "x_maintenance_due_s"), (1798, "u32", "run_s"), (1800, "u32", "energy_kwh"),
             (1802, "u32", "energy_reverse_kwh"), (1804, "u32", "energy_apparent_kvah"), (1806, "u32", "energy_reactive_kvarh"),
             (1808, "u32", "starts")]
    for i, (address, kind, name) in enumerate(lines):
        code = (i + turn) % 8
        s.put(address, kind, TOP[kind] - code, name, bad=SENTINELS[code])


def dse_page154():
    s = Scene(3, variant="alarms-72xx", note="stopped after an emergency stop; a sentinel in every reading", filler=0xFFFF)
    s.put(768, "u16", 1).put(769, "u16", 32840)
    s.put(770, "u32", 1, "x_serial_number", "1")
    s.put(772, "u16", 0, "mode", "0")
    s.put(774, "u16", 0x3840).say(
        controller_fault=True, common_shutdown=True, common_trip=True, common_warning=False, controlled_shutdown=True)
    dse_sentinels(s, 0)
    s.put(1408, "u16", 15, "engine_state", bad="not_available")
    s.say(selector_auto=False, on_test=False).wrong(running="not_available")
    nibbles = {
        1: ("3211", "alarm_emergency_stop", "alarm_oil_pressure_low", "alarm_coolant_temperature_high", "alarm_coolant_temperature_low"),
        2: ("1301", "alarm_underspeed", "alarm_overspeed", "alarm_frequency_low", "alarm_frequency_high"),
        3: ("4122", "alarm_voltage_low", "alarm_voltage_high", "alarm_battery_low", "alarm_battery_high"),
        4: ("1351", "alarm_charge_alternator", "alarm_fail_to_start", "alarm_fail_to_stop", "alarm_fail_to_close"),
        5: ("11F1", None, "alarm_oil_sender", "alarm_speed_signal_lost", None),
        6: ("4121", "alarm_overcurrent", None, "alarm_fuel_low", None),
        7: ("1111", None, None, None, None),
        8: ("1141", None, None, "alarm_overload", None),
        9: ("481A", "alarm_earth_fault", "alarm_phase_rotation", None, "alarm_maintenance_due"),
        10: ("1111", None, None, None, None),
        11: ("1191", None, None, "alarm_short_circuit", None),
        12: ("FFFF", None, None, None, None),
        13: ("FFFF", None, None, None, None),
        14: ("11F1", None, None, "alarm_reverse_power", None),
        15: ("FFFF", None, None, None, None),
        16: ("FFFF", None, None, None, None),
        17: ("1211", None, "alarm_fuel_sender", None, None),
        18: ("21FF", "alarm_coolant_sender", None, None, None),
    }
    alarms(s, 39424, nibbles)
    return s


def dse_page8():
    s = Scene(3, variant="alarms-page8", note="failed to start; the older alarm list; the other sentinels", filler=0xFFFF)
    s.put(768, "u16", 1).put(769, "u16", 4623)
    s.put(770, "u32", 65537, "x_serial_number", "65537")
    s.put(772, "u16", 4, "mode", "4")
    s.put(774, "u16", 0x1000).say(
        controller_fault=False, common_shutdown=True, common_trip=False, common_warning=False, controlled_shutdown=False)
    dse_sentinels(s, 3)
    s.put(1408, "u16", 0xFFFB, "engine_state", bad="bad_data")
    s.say(selector_auto=True, on_test=False).wrong(running="bad_data")
    nibbles = {
        1: ("1351", "alarm_emergency_stop", "alarm_oil_pressure_low", "alarm_coolant_temperature_high", "alarm_oil_temperature_high"),
        2: ("9130", "alarm_underspeed", "alarm_overspeed", "alarm_fail_to_start", "alarm_fail_to_stop"),
        3: ("F111", "alarm_speed_signal_lost", "alarm_voltage_low", "alarm_voltage_high", "alarm_frequency_low"),
        4: ("1244", "alarm_frequency_high", "alarm_overcurrent", "alarm_earth_fault", "alarm_reverse_power"),
        5: ("1123", None, "alarm_oil_sender", "alarm_coolant_sender", None),
        6: ("2112", "alarm_fuel_sender", None, None, "alarm_charge_alternator"),
        7: ("28F1", "alarm_battery_low", "alarm_battery_high", "alarm_fuel_low", None),
        8: ("4111", "alarm_fail_to_close", None, None, None),
        9: ("1111", None, None, None, None),
        10: ("1111", None, None, None, None),
        11: ("1A11", "alarm_phase_rotation", "alarm_maintenance_due", None, None),
        12: ("1115", None, None, None, "alarm_short_circuit"),
        **{i: ("FFFF", None, None, None, None) for i in range(13, 20)},
        20: ("FFF2", None, None, None, "alarm_coolant_temperature_low"),
        **{i: ("FFFF", None, None, None, None) for i in range(21, 24)},
        24: ("F4FF", None, "alarm_overload", None, None),
        25: ("FFFF", None, None, None, None),
    }
    alarms(s, 2048, nibbles)
    return s


# Alarms that are also given as bools. 2 warning, 3 shutdown, 4 electrical trip, 5 controlled shutdown and 10 active are true;
# 0 disabled, 1 not active, 8 and 9 inactive are false.
ALARM_BOOLS = [
    "emergency_stop", "oil_pressure_low", "coolant_temperature_high", "coolant_temperature_low", "underspeed", "overspeed", "fail_to_start",
    "fail_to_stop", "fuel_low", "battery_low", "battery_high", "overload", "earth_fault", "maintenance_due",
]
ALARM_BOOLS = {f"alarm_{name}": name for name in ALARM_BOOLS} | {"alarm_charge_alternator": "charge_alternator_failed"}
SHUTDOWN_BOOLS = {f"alarm_{name}": f"{name}_shutdown" for name in ["oil_pressure_low", "coolant_temperature_high"]}


def alarms(s, page, nibbles):
    for offset, (digits, *names) in nibbles.items():
        s.put(page + offset, "u16", int(digits, 16))
        for digit, name in zip(digits, names):
            given = {name: str(int(digit, 16))} if name else {}
            if name in ALARM_BOOLS:
                given[ALARM_BOOLS[name]] = digit in "2345A"
            if name in SHUTDOWN_BOOLS:
                given[SHUTDOWN_BOOLS[name]] = digit in "35"
            if digit == "F":
                s.wrong(**dict.fromkeys(given, "not_fitted"))
            else:
                s.say(**given)


# ---------------------------------------------------------------- grundfos-cim

def grundfos_running():
    s = Scene(4, note="running under bus control, wants new grease", gap=10)
    s.put(200, "u16", 0b0010_1011_0100_0000).say(
        running=True, started=True, fault=False, warning=True, remote_control=True, forced_local=False, at_power_limit=False,
        at_max_speed=True, at_min_speed=False, x_low_flow_stop=False, x_max_flow_limit=False, x_counter_clockwise=False)
    s.put(202, "u16", 4, "control_mode", "4").put(203, "u16", 0, "operating_mode", "0")
    s.put(204, "u16", 0, "alarm_code", "0").put(205, "u16", 240, "warning_code", "240")
    s.put(206, "u16", 0x0003).say(x_bearing_service_months="3", x_bearing_service_change=False)
    for address, raw, name, value in [
        (300, 3500, "head_m", "35.6902"), (301, 125, "flow_m3h", "12.5"), (302, 6543, "performance_pct", "65.43"),
        (303, 2890, "speed_rpm", "2890"), (304, 485, "frequency_hz", "48.5"), (307, 5000, "setpoint_pct", "50"),
        (308, 72, "current_a", "7.2"), (309, 5421, "dc_link_v", "542.1"), (310, 3800, "voltage_v", "380"),
        (313, 0, "remote_flow_m3h", "0"), (314, 850, "suction_pressure_mpa", "-0.015"), (315, 4125, "remote_pressure_mpa", "0.4125"),
        (316, 10153, "tank_level_m", "1.53"), (317, 33338, "drive_temperature_c", "60.23"), (318, 32815, "motor_temperature_c", "55"),
        (319, 27265, "x_remote_temperature_c", "-0.5"), (320, 31000, "electronics_temperature_c", "36.85"),
        (321, 28847, "liquid_temperature_c", "15.32"), (322, 31815, "bearing_de_temperature_c", "45"),
        (323, 31665, "bearing_nde_temperature_c", "43.5"), (324, 2500, "x_aux_input_pct", "25"),
        (325, 184, "x_specific_energy_wh_per_m3", "184"), (337, 5000, "x_user_setpoint_pct", "50"),
        (338, 3480, "differential_pressure_mpa", "0.348"),
    ]:
        s.put(address, "u16", raw, name, value)
    for address, raw, name, value in [
        (311, 3215, "power_kw", "3.215"), (326, 70123, "run_h", "70123"), (328, 81234, "powered_h", "81234"),
        (331, 123456, "energy_kwh", "123456"), (333, 4321, "starts", "4321"), (356, 1234567, "volume_m3", "12345.67"),
        (360, 0, "x_volume_reverse_m3", "0"),
    ]:
        s.put(address, "u32", raw, name, value)
    return s


def grundfos_dry():
    s = Scene(4, note="dry running; nothing measured is available", gap=10)
    s.put(200, "u16", 0b1001_0100_1010_0101).say(
        running=False, started=False, fault=True, warning=False, remote_control=False, forced_local=True, at_power_limit=True,
        at_max_speed=False, at_min_speed=True, x_low_flow_stop=True, x_max_flow_limit=True, x_counter_clockwise=True)
    s.put(202, "u16", 0xFFFF, "control_mode", bad="not_available").put(203, "u16", 9, "operating_mode", "9")
    s.put(204, "u16", 57, "alarm_code", "57").put(205, "u16", 0xFFFF, "warning_code", bad="not_available")
    s.put(206, "u16", 0x01FF).say(x_bearing_service_change=True).wrong(x_bearing_service_months="not_available")
    for address, name in [
        (300, "head_m"), (301, "flow_m3h"), (302, "performance_pct"), (303, "speed_rpm"), (304, "frequency_hz"), (307, "setpoint_pct"),
        (308, "current_a"), (309, "dc_link_v"), (310, "voltage_v"), (313, "remote_flow_m3h"), (314, "suction_pressure_mpa"),
        (315, "remote_pressure_mpa"), (316, "tank_level_m"), (317, "drive_temperature_c"), (319, "x_remote_temperature_c"),
        (320, "electronics_temperature_c"), (321, "liquid_temperature_c"), (322, "bearing_de_temperature_c"),
        (323, "bearing_nde_temperature_c"), (324, "x_aux_input_pct"), (325, "x_specific_energy_wh_per_m3"), (337, "x_user_setpoint_pct"),
        (338, "differential_pressure_mpa"),
    ]:
        s.put(address, "u16", 0xFFFF, name, bad="not_available")
    s.put(318, "u16", 0, "motor_temperature_c", bad="out_of_range")    # 0 K
    for address, name in [(311, "power_kw"), (326, "run_h"), (328, "powered_h"), (331, "energy_kwh"), (333, "starts"), (356, "volume_m3"),
                          (360, "x_volume_reverse_m3")]:
        s.put(address, "u32", 0xFFFFFFFF, name, bad="not_available")
    s.put(305, "u16", 0).put(306, "u16", 0)
    return s


# ---------------------------------------------------------------- level transmitters

def level(unit, decimals, raw, value=None, bad=None, note=None):
    s = Scene(3, note=note)
    s.put(2, "u16", unit, "x_unit", str(unit)).put(3, "u16", decimals, "x_decimals", str(decimals))
    return s.put(4, "i16", raw, "level_m", value, bad)


LEVEL = [
    level(16, 3, 1234, "1.234", note="m"),
    level(17, 1, 1234, "1.234", note="cm"),
    level(18, 0, 1234, "1.234", note="mm"),
    level(1, 1, 147, "1.4989884", note="kPa"),
    level(2, 0, 14700, "1.4989884", note="Pa"),
    level(3, 3, 147, "1.4989884", note="bar"),
    level(4, 0, 147, "1.4989884", note="mbar"),
    level(7, 2, 150, "1.5", note="mH2O"),
    level(8, 0, 1500, "1.5", note="mmH2O"),
    level(17, 0, -12, "-0.12", note="below zero: dry, drifted"),
    level(16, 1, 32767, bad="out_of_range", note="at the end of the number"),
    level(0, 2, 150, bad="no_scale", note="a unit without a factor"),
    level(16, 4, 12340, bad="no_scale", note="decimals without a factor"),
]

LEVEL_ALT = [
    level(1, 1, 1234, "1.234", note="cm"),
    level(2, 0, 1234, "1.234", note="mm"),
    level(4, 0, 14700, "1.4989884", note="Pa"),
    level(5, 2, 1470, "1.4989884", note="kPa"),
    level(2, 0, -500, "-0.5", note="as far below zero as is believed"),
    level(1, 0, 2001, bad="out_of_range", note="more than 20 m"),
    level(6, 2, 1200, bad="no_scale", note="a unit without a factor: mA"),
]


# ---------------------------------------------------------------- contacts, drive, rain gauge, transfer switch

def inputs(names, bits, note=None):
    s = Scene(2, note=note)
    for address, (name, bit) in enumerate(zip(names, bits, strict=True)):
        s.put(address, "bit", bit == "1", name, bit == "1")
    return s


CONTACTS = [f"in{i}" for i in range(1, 17)]
ATS = ["source1_available", "source2_available", "on_source1", "on_source2", "auto", "fault"]


def vfd(status, alarm, temperature, temperature_c=None, bad=None, note=None):
    s = Scene(3, note=note)
    s.put(0, "u16", status).say(**{
        name: bool(status >> bit & 1) for bit, name in enumerate(["running", "fault", "warning", "selector_auto", "ready"])})
    s.put(1, "u16", alarm, "alarm_code", str(alarm))
    runs = bool(status & 1)
    for address, kind, raw, name, value in [
        (2, "u16", 4825, "frequency_hz", "48.25"), (3, "u16", 126, "current_a", "12.6"), (4, "i16", 55, "power_kw", "5.5"),
        (5, "u16", 1448, "speed_rpm", "1448"), (6, "u16", 3817, "voltage_v", "381.7"),
    ]:
        s.put(address, kind, raw if runs else 0, name, value if runs else "0")
    s.put(7, "i16", temperature, "motor_temperature_c", temperature_c, bad)
    s.put(8, "u32", 655361, "run_h", "65536.1").put(10, "u32", 1207, "starts", "1207")
    return s.put(12, "u32", 1000000, "energy_kwh", "100000")


VFD = [
    vfd(0b11001, 0, 612, "61.2", note="running in automatic"),
    vfd(0b01010, 4, -55, "-5.5", note="tripped hot, on a cold day"),
    vfd(0b10000, 0, 0x7FFF, bad="not_fitted", note="standing in manual, no motor sensor"),
    vfd(0b00110, 6, 0x7FFE, bad="open_circuit", note="motor sensor broken"),
    vfd(0b00110, 6, 0x7FFD, bad="short_circuit", note="motor sensor shorted"),
    vfd(0b11001, 0, 2100, bad="out_of_range", note="210 degrees are not believed"),
]


def rain(window, window_mm, total, total_mm, tips, minutes, bad=None, note=None):
    s = Scene(4, note=note, low_word_first=True)
    s.put(5, "u16", 0x1000, "x_firmware", "4096")
    s.put(6, "u32", window, "x_rain_window_mm", window_mm, bad)
    s.put(8, "u32", total, "rain_mm", total_mm)
    return s.put(10, "u32", tips, "x_tips", str(tips)).put(12, "u16", minutes, "x_uptime_min", str(minutes))


RAIN = [
    rain(33528, "3.3528", 5588000, "558.8", 2000, 44640, note="12 tips in the window, 2000 since power came on"),
    rain(0, "0", 2794, "0.2794", 1, 3, note="three minutes after power came back"),
    rain(0xFFFF_0000, None, 65536, "6.5536", 65536, 65535, bad="out_of_range", note="the high word matters"),
]


write("deepsea-dse", WORDS, [*DSE, dse_page154(), dse_page8()])
write("grundfos-cim", WORDS, [grundfos_running(), grundfos_dry()])
write("level-transmitter", WORDS, LEVEL)
write("level-transmitter-alt", WORDS, LEVEL_ALT)
write("contact-module-16", BITS, [inputs(CONTACTS, "1010011000000001"), inputs(CONTACTS, "0101100111111110")])
write("vfd-generic", WORDS, VFD)
write("rain-gauge-sen0575", WORDS, RAIN)
write("ats-generic", BITS, [inputs(ATS, "111010", note="on the utility"), inputs(ATS, "010110", note="utility lost, on the generator"),
                            inputs(ATS, "000001", note="both gone, fault")])

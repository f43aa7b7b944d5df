#!/usr/bin/env python3
"""Writes the dashboards from dashboards.toml and the vocabulary: for InfluxQL and PromQL, in Chinese and English.

generate.py           writes them
generate.py --check   says which are not fresh, and ends with 1 if one is not
"""
import json
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
UNITS = {"m": "lengthm", "V": "volt", "A": "amp", "mA": "mamp", "kW": "kwatt", "kWh": "kwatth", "kVA": "kvoltamp", "kvar": "kvoltampreact",
         "%": "percent", "Hz": "hertz", "s": "s", "h": "h", "min": "m", "°C": "celsius", "B": "decbytes", "MB": "decmbytes", "ms": "ms",
         "m³/h": "flowcmh", "m³": "m3", "mm": "lengthmm"}
COLORS = {"text": "text", "green": "green", "yellow": "yellow", "orange": "orange", "red": "red", "blue": "blue"}
# The shortest interval of a query: the slowest poll group of the profiles that are shown.
LEAST = "1m"


def vocabulary():
    out = {"status": {"state": {"zh": "状态", "en": "state"}, "why": {"zh": "原因", "en": "why"}, "online": {"zh": "在线", "en": "online"}}}
    for file in sorted((HERE / "../config/vocabulary").glob("*.toml")):
        data = tomllib.loads(file.read_text())
        points = {}
        for name, point in data["points"].items():
            for n in "1234" if "{n}" in name else [""]:
                texts = {k: v.replace("{n}", n) if isinstance(v, str) else v for k, v in point.items()}
                points[name.replace("{n}", n)] = texts
        out[data["class"]] = points
    return out


class InfluxQL:
    name, plugin = "influxql", "influxdb"

    def where(self, panel, dashboard):
        tags = ["site"] if dashboard.get("site_only") else ["site", "area", "device"]
        out = [f'"{t}" =~ /^${t}$/' for t in tags]
        if "only" in panel:
            out.append('"class" =~ /^(' + "|".join(panel["only"]) + ")$/")
        return " AND ".join(out)

    def target(self, query, alias, table=False):
        return {"query": query, "rawQuery": True, "resultFormat": "table" if table else "time_series", "alias": alias}

    def series(self, show, how, where, legend):
        field, of = f'"{show["point"]}"', f'FROM "{show["class"]}" WHERE {where} AND $timeFilter'
        each = 'GROUP BY time($__interval), "device" fill(null)'
        select = {
            "mean": (f"mean({field})", each),
            "max": (f"max({field})", each),
            "last": (f"last({field})", each),
            "now": (f"last({field})", 'GROUP BY "device"'),
            "rate": (f"non_negative_derivative(last({field}), 1s)", each),
            "used": (f"non_negative_difference(last({field}))", 'GROUP BY time($bucket), "device" fill(none)'),
            "total": (f"last({field}) - first({field})", 'GROUP BY "device"'),
        }[how]
        return self.target(f"SELECT {select[0]} {of} {select[1]}", legend)

    def legend(self, point):
        return f"$tag_device {point}".strip()

    def count(self, what, where, legend):
        value = {"online": 'sum("o")', "all": 'count("o")', "not online": 'count("o") - sum("o")'}[what]
        inner = f'SELECT last("online") AS "o" FROM "status" WHERE {where} AND time > now() - 3m GROUP BY "device"'
        return self.target(f"SELECT {value} FROM ({inner})", legend)

    def bad(self, where):
        return self.target(f'SELECT last(/_bad$/) FROM /.*/ WHERE {where} AND $timeFilter GROUP BY "device"', "", True)

    def seen(self, where):
        return self.target(f'SELECT last("state") FROM "status" WHERE {where} AND $timeFilter GROUP BY "device"', "", True)

    def energy(self, panel, where, lang):
        where = where.replace(' AND "area" =~ /^$area$/ AND "device" =~ /^$device$/', "")
        level = f' AND "level" = \'{panel["level"]}\'' if "level" in panel else ""
        of = f'FROM "{panel["of"]}" WHERE {where}{level} AND $timeFilter'
        out = []
        for field in panel["fields"]:
            value = {"sum": f'sum("{field["name"]}")', "max": f'max("{field["name"]}")', "pct": f'mean("{field["name"]}") * 100'}[panel["how"]]
            group = [f'time({panel["each"]})'] if "each" in panel else []
            group += [f'"{tag}"' for tag in panel.get("by", [])]
            legend = field.get(lang, "") + "".join(f" $tag_{tag}" for tag in panel.get("by", []))
            fill = " fill(none)" if "each" in panel else ""
            out.append(self.target(f'SELECT {value} {of}' + (f' GROUP BY {", ".join(group)}{fill}' if group else ""), legend.strip()))
        return out

    def variable(self, tag, of, above):
        where = " AND ".join(f'"{t}" =~ /^${t}$/' for t in above)
        of = f'FROM "{of[0]}"' if len(of) == 1 else "FROM /^(" + "|".join(of) + ")$/"
        return f'SHOW TAG VALUES {of} WITH KEY = "{tag}"' + (f" WHERE {where}" if where else "")


class PromQL:
    name, plugin = "promql", "prometheus"

    def where(self, panel, dashboard):
        tags = ["site"] if dashboard.get("site_only") else ["site", "area", "device"]
        out = [f'{t}=~"${t}"' for t in tags]
        if "only" in panel:
            out.append('class=~"' + "|".join(panel["only"]) + '"')
        return ",".join(out)

    def target(self, expr, legend, table=False, instant=False, step=LEAST):
        out = {"expr": expr, "legendFormat": legend or "__auto", "instant": instant, "range": not instant, "interval": step}
        return out | {"format": "table" if table else "time_series"}

    def series(self, show, how, where, legend):
        metric = f'{show["class"]}_{show["point"]}{{{where}}}'
        if how in ("mean", "max", "last"):
            function = {"mean": "avg", "max": "max", "last": "last"}[how]
            return self.target(f"{function}_over_time({metric}[$__interval])", legend)
        if how == "rate":
            return self.target(f"rate({metric}[$__rate_interval])", legend)
        if how == "used":
            return self.target(f"increase({metric}[$bucket])", legend, step="$bucket")
        if how == "now":
            return self.target(f"last_over_time({metric}[$__range])", legend, instant=True)
        return self.target(f"increase({metric}[$__range])", legend, instant=True)

    def legend(self, point):
        return f"{{{{device}}}} {point}".strip()

    def count(self, what, where, legend):
        last = f"last_over_time(status_online{{{where}}}[3m])"
        expr = {"online": f"sum({last})", "all": f"count({last})", "not online": f"count({last}) - sum({last})"}[what]
        return self.target(expr, legend, instant=True)

    def bad(self, where):
        return self.target(f'{{__name__=~".+_bad",{where}}}', "", True, True)

    def seen(self, where):
        return self.target(f"time() - tlast_over_time(status_state{{{where}}}[$__range])", "{{device}}", False, True)

    def energy(self, panel, where, lang):
        where = where.replace(',area=~"$area",device=~"$device"', "")
        where += f',level="{panel["level"]}"' if "level" in panel else ""
        out = []
        for field in panel["fields"]:
            function = {"sum": "sum_over_time", "max": "max_over_time", "pct": "avg_over_time"}[panel["how"]]
            window = panel.get("each", "$__range")
            expr = f'{function}({panel["of"]}_{field["name"]}{{{where}}}[{window}])'
            by = panel.get("by", [])
            expr = f'{"max" if panel["how"] == "max" else "avg" if panel["how"] == "pct" else "sum"} by ({", ".join(by)}) ({expr})'
            if panel["how"] == "pct":
                expr += " * 100"
            legend = (field.get(lang, "") + "".join(f" {{{{{tag}}}}}" for tag in by)).strip()
            out.append(self.target(expr, legend, instant="each" not in panel, step=panel.get("each", LEAST)))
        return out

    def variable(self, tag, of, above):
        where = ",".join(f'{t}=~"${t}"' for t in above)
        metric = {"status": "status_state", "gateway": "gateway_uptime_s"}.get(of[0], "status_state")
        if of[0] not in ("status", "gateway"):
            where += ',class=~"' + "|".join(of) + '"'
        return f"label_values({metric}{{{where.strip(',')}}}, {tag})"


class Builder:
    def __init__(self, spec, words, query, lang):
        self.spec, self.words, self.query, self.lang = spec, words, query, lang

    def source(self):
        return {"type": self.query.plugin, "uid": "${source}"}

    def text(self, of):
        return of[self.lang]

    def mappings(self, panel):
        if "map" not in panel:
            return []
        options = {n: {"text": self.text(t), "color": COLORS[t["color"]], "index": i}
                   for i, (n, t) in enumerate(self.spec["maps"][panel["map"]].items())}
        return [{"type": "value", "options": options}]

    def thresholds(self, panel):
        limits = panel.get("thresholds", {})
        steps = [{"color": panel.get("color", "text" if not limits else "green"), "value": None}]
        if "red_below" in limits:
            steps = [{"color": "red", "value": None}, {"color": "green", "value": limits["red_below"]}]
        steps += [{"color": c, "value": limits[c]} for c in ("yellow", "red") if c in limits]
        return {"mode": "absolute", "steps": steps}

    def targets(self, panel, dashboard):
        where, kind = self.query.where(panel, dashboard), panel["kind"]
        if kind == "count":
            return [self.query.count(panel["count"], where, self.text(panel))]
        if "of" in panel:
            return self.query.energy(panel, where, self.lang)
        if kind in ("bad", "seen"):
            return [getattr(self.query, kind)(where)]
        usual = {"timeseries": "mean", "states": "last", "stat": "now", "gauge": "now", "bars": "used", "bargauge": "total"}[kind]
        out = []
        for show in panel["show"]:
            point = self.words[show["class"]][show["point"]]
            many = len(panel["show"]) > 1
            legend = self.query.legend(self.text(point) if many else "")
            if show["class"] == "gateway":
                legend = self.text(point)
            out.append(self.query.series(show, panel.get("how", usual), where, legend))
        return out

    def panel(self, number, panel, place, dashboard):
        kind = panel["kind"]
        plugin = {"states": "state-timeline", "bars": "timeseries", "count": "stat", "bad": "table", "seen": "table"}.get(kind, kind)
        if kind == "seen" and self.query.name == "promql":
            plugin = "bargauge"
        unit = ""
        if "show" in panel:
            unit = self.words[panel["show"][0]["class"]][panel["show"][0]["point"]].get("unit", "")
        unit = panel.get("unit", unit)
        unit = UNITS.get(unit, f"suffix: {unit}" if unit else "none")
        if panel.get("how") == "rate":
            unit = "Bps" if unit == "decbytes" else "cps"
        if kind == "seen":
            unit = "s"
        defaults = {"unit": unit, "mappings": self.mappings(panel), "thresholds": self.thresholds(panel),
                    "color": {"mode": "thresholds" if plugin not in ("timeseries",) else "palette-classic"}}
        if "max" in panel:
            defaults |= {"min": 0, "max": panel["max"]}
        if plugin == "timeseries":
            bars = kind == "bars"
            defaults["custom"] = {"drawStyle": "bars" if bars else "line", "fillOpacity": 60 if bars else 0, "spanNulls": False,
                                  "showPoints": "never", "thresholdsStyle": {"mode": "dashed" if "thresholds" in panel else "off"},
                                  "stacking": {"mode": "normal" if panel.get("stacked") else "none", "group": "A"}}
        if plugin == "state-timeline":
            defaults["custom"] = {"fillOpacity": 80, "lineWidth": 0, "spanNulls": False}
        overrides = []
        if kind == "seen" and plugin == "table":
            overrides = [{"matcher": {"id": "byName", "options": "Time"}, "properties": [{"id": "unit", "value": "dateTimeFromNow"}]}]
        options = {
            "timeseries": {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
                           "tooltip": {"mode": "multi", "sort": "none"}},
            "state-timeline": {"mergeValues": True, "showValue": "auto", "alignValue": "left", "rowHeight": 0.85,
                               "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
                               "tooltip": {"mode": "single", "sort": "none"}},
            "stat": {"colorMode": "value", "graphMode": "none", "justifyMode": "auto", "orientation": "auto", "textMode": "auto",
                     "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
                     "wideLayout": True, "showPercentChange": False, "percentChangeColorMode": "standard"},
            "gauge": {"orientation": "auto", "showThresholdLabels": False, "showThresholdMarkers": True, "sizing": "auto",
                      "minVizHeight": 75, "minVizWidth": 75, "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}},
            "bargauge": {"orientation": "horizontal", "displayMode": "basic", "valueMode": "text", "namePlacement": "auto", "showUnfilled": True,
                         "sizing": "auto", "minVizHeight": 16, "minVizWidth": 8, "maxVizHeight": 300,
                         "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False, "calcs": []},
                         "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}},
            "table": {"showHeader": True, "frameIndex": 0, "cellHeight": "sm"},
        }[plugin]
        targets = [{"refId": "ABCDEFGH"[i], "datasource": self.source()} | t for i, t in enumerate(self.targets(panel, dashboard))]
        return {"id": number, "type": plugin, "title": self.text(panel), "gridPos": place, "datasource": self.source(),
                "interval": LEAST, "fieldConfig": {"defaults": defaults, "overrides": overrides}, "options": options, "targets": targets}

    def variables(self, dashboard):
        texts = {"source": ("数据源", "Data source"), "site": ("现场", "Site"), "area": ("区域", "Area"), "device": ("设备", "Device"),
                 "bucket": ("时段", "Bucket")}
        label = lambda name: texts[name][0 if self.lang == "zh" else 1]
        out = [{"name": "source", "type": "datasource", "label": label("source"), "query": self.query.plugin, "hide": 0}]
        shown = [s["class"] for p in dashboard["panel"] for s in p.get("show", []) if s["class"] != "status"]
        classes = list(dict.fromkeys(shown))
        health = dashboard["id"] == "gateway-health"
        tags = [("site", ["gateway" if health else "status"], [])]
        # Metering points are no devices: they are told apart by their own tags.
        if not health and not dashboard.get("metering"):
            of = ["status"] if dashboard["id"] == "site-overview" else classes
            tags += [("area", of, ["site"]), ("device", of, ["site", "area"])]
        for tag, of, above in tags:
            query = self.query.variable(tag, of, above)
            out.append({"name": tag, "type": "query", "label": label(tag), "datasource": self.source(), "query": query, "refresh": 2,
                        "multi": True, "includeAll": True, "allValue": ".*", "sort": 1, "hide": 0, "skipUrlSync": False, "options": [],
                        "current": {"text": "All", "value": "$__all", "selected": True}})
        if any(p.get("how") == "used" or p.get("each") == "$bucket" for p in dashboard["panel"]):
            buckets, usual = ["15m", "1h", "6h", "1d"], dashboard.get("bucket", "1h")
            out.append({"name": "bucket", "type": "interval", "label": label("bucket"), "query": ",".join(buckets), "hide": 0,
                        "current": {"text": usual, "value": usual, "selected": True},
                        "options": [{"text": b, "value": b, "selected": b == usual} for b in buckets]})
        return out

    def dashboard(self, dashboard):
        panels, x, y, row = [], 0, 0, 0
        for number, panel in enumerate(dashboard["panel"], 1):
            if x + panel["w"] > 24:
                x, y, row = 0, y + row, 0
            place = {"x": x, "y": y, "w": panel["w"], "h": panel["h"]}
            panels.append(self.panel(number, panel, place, dashboard))
            x, row = x + panel["w"], max(row, panel["h"])
        uid = f'plantroom-{dashboard["id"]}-{self.query.name}-{self.lang}'
        return {"uid": uid, "title": self.text(dashboard), "tags": ["plantroom", self.query.name, self.lang], "timezone": "browser",
                "schemaVersion": 39, "version": 1, "editable": True, "graphTooltip": 1, "refresh": "30s", "time": {"from": dashboard.get("from", "now-6h"), "to": "now"},
                "templating": {"list": self.variables(dashboard)}, "panels": panels,
                "links": [{"title": "plantroom", "type": "dashboards", "tags": ["plantroom", self.query.name, self.lang], "asDropdown": True,
                           "icon": "external link", "includeVars": True, "keepTime": True, "targetBlank": False, "tooltip": "", "url": ""}]}


def files():
    spec, words = tomllib.loads((HERE / "dashboards.toml").read_text()), vocabulary()
    for query in (InfluxQL(), PromQL()):
        for lang in ("zh", "en"):
            for dashboard in spec["dashboard"]:
                made = Builder(spec, words, query, lang).dashboard(dashboard)
                yield HERE / query.name / lang / f'{dashboard["id"]}.json', json.dumps(made, ensure_ascii=False, indent=1) + "\n"


def main(check):
    stale = []
    for path, text in files():
        if check:
            if not path.exists() or path.read_text() != text:
                stale.append(str(path))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    if stale:
        print("not fresh (python3 dashboards/generate.py):", *stale, sep="\n  ")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv))

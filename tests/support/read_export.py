"""Reads an export as a spreadsheet user would, and prints the exact sum of each column of `intervals` as JSON."""

import json
import sys
from decimal import Decimal

import openpyxl
import pandas


def exact(values):
    return str(sum((Decimal(str(value)) for value in values), Decimal(0)).normalize())


path = sys.argv[1]
sheet = openpyxl.load_workbook(path, read_only=True)["intervals"]
rows = list(sheet.iter_rows(values_only=True))
by_openpyxl = {}
for column, name in enumerate(rows[0]):
    if column > 0:
        by_openpyxl[name] = exact(row[column] for row in rows[1:] if column < len(row) and row[column] is not None)
frame = pandas.read_excel(path, sheet_name="intervals", index_col=0)
by_pandas = {name: exact(frame[name].dropna()) for name in frame.columns}
starts = pandas.to_datetime(frame.index)
print(json.dumps({"openpyxl": by_openpyxl, "pandas": by_pandas, "rows": len(frame), "first": starts[0].isoformat()}))

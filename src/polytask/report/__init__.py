"""Reports about run folders: a self-contained HTML page, and a table for the terminal."""

from polytask.report.page import write_report as write_report
from polytask.report.table import render_table as render_table

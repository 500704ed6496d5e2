/** RFC 4180, safe to open in a spreadsheet. */
export function csv(rows: string[][]): string {
  return rows.map((row) => row.map(csvCell).join(",")).join("\r\n");
}

/**
 * A cell that a spreadsheet would run as a formula gets a quote mark before it, as OWASP's page on CSV injection
 * says; a plain number is none. `millstream sql --format csv` does the same.
 */
export function csvCell(text: string): string {
  const formula = /^[=+\-@\t\r\n\uFF1D\uFF0B\uFF0D\uFF20]/.test(text) && !/^[+-]?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(text);
  const safe = formula ? `'${text}` : text;
  return formula || /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

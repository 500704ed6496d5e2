import { describe, expect, it } from "vitest";
import { csv, csvCell } from "../src/format/csv";

describe("csv", () => {
  it("takes the meaning from what a spreadsheet would run", () => {
    expect(csvCell('=HYPERLINK("http://evil.example")')).toBe(`"'=HYPERLINK(""http://evil.example"")"`);
    for (const cell of ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "＝1"]) {
      expect(csvCell(cell).startsWith(`"'`)).toBe(true);
    }
  });

  it("leaves numbers and text as they are", () => {
    for (const cell of ["-5", "+1.5", "-1e-7", "a=b", "华东", ""]) expect(csvCell(cell)).toBe(cell);
    expect(csv([["a", "b"], ["1,5", 'x"y']])).toBe('a,b\r\n"1,5","x""y"');
  });
});

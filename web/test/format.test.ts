import { describe, expect, test } from "vitest";
import { business, businessText, byteRate, bytes, count, money, percent, rate, short, toNumber } from "../src/format/number";
import { age, ago, agoAbout, chartTimeOfDay, duration, latency, milliseconds, parseSqlTime, sqlTimeOfDay } from "../src/format/time";

/** Figures are joined with no-break spaces; tests read better with plain ones. */
const plain = (text: string): string => text.replace(/[\u00a0\u202f]/g, " ");

describe("figures", () => {
  test("counts and offsets are never shortened", () => {
    expect(count(88_411_898)).toBe("88,411,898");
    expect(count(0)).toBe("0");
  });

  test("missing is a dash, not zero", () => {
    for (const text of [count(null), short(undefined), rate(null), bytes(null), percent(Number.NaN), money(null), duration(null, "en")]) {
      expect(text).toBe("—");
    }
  });

  test.each([
    [0, "0 /s"],
    [0.02, "0 /s"],
    [6.24, "6.2 /s"],
    [61.3, "61.3 /s"],
    [233.4, "233 /s"],
    [999.7, "1.0 K/s"],
    [412_900, "412.9 K/s"],
    [1_210_000, "1.21 M/s"],
    [7_330_000_000, "7.33 B/s"],
  ])("a rate of %d has at most four digits: %s", (value, text) => {
    expect(plain(rate(value))).toBe(text);
  });

  test.each([
    [0, "0 B"],
    [639, "639 B"],
    [1024, "1.00 KiB"],
    [18_637, "18.2 KiB"],
    [1.24 * 1024 ** 4, "1.24 TiB"],
    [1024 ** 2 - 1, "1.00 MiB"],
  ])("bytes are powers of 1,024: %d is %s", (value, text) => {
    expect(plain(bytes(value))).toBe(text);
  });

  test("a byte rate keeps its unit", () => {
    expect(plain(byteRate(318 * 1024 ** 2))).toBe("318 MiB/s");
  });

  test.each([
    [7_326_418_406, "7.33 B", "73.26 亿"],
    [14_000, "14.0 K", "1.4 万"],
    [10_915_000, "10.9 M", "1,091.5 万"],
    [9_999, "9,999", "9,999"],
    [671.22, "671.22", "671.22"],
    [99_999_999, "100 M", "1.00 亿"],
  ])("business figures follow the language: %d", (value, en, zh) => {
    expect(plain(businessText(value, "en"))).toBe(en);
    expect(plain(businessText(value, "zh"))).toBe(zh);
  });

  test("a figure gives its unit apart", () => {
    expect(business(7_326_418_406, "zh")).toEqual({ figure: "73.26", unit: "亿" });
  });

  test("percent has a thin space, money its sign", () => {
    expect(percent(97.4)).toBe("97.4\u202f%");
    expect(money(671.22)).toBe("¥671.22");
    expect(money(7_999)).toBe("¥7,999");
  });

  test("DECIMAL comes as a string; what is no number is null", () => {
    expect(toNumber("335992.83")).toBe(335_992.83);
    expect(toNumber("")).toBeNull();
    expect(toNumber("华东")).toBeNull();
    expect(toNumber(true)).toBeNull();
  });
});

describe("durations", () => {
  test.each([
    [0, "0 ms", "0 ms"],
    [62, "62 ms", "62 ms"],
    [300, "0.3 s", "0.3 秒"],
    [9_949, "9.9 s", "9.9 秒"],
    [41_000, "41 s", "41 秒"],
    [59_600, "1 min", "1 分钟"],
    [573_000, "9 min 33 s", "9 分 33 秒"],
    [7_200_000, "2 h", "2 小时"],
    [352_800_000, "4 d 2 h", "4 天 2 小时"],
  ])("%d ms has two units at most", (ms, en, zh) => {
    expect(plain(duration(ms, "en"))).toBe(en);
    expect(plain(duration(ms, "zh"))).toBe(zh);
  });

  test("a clock that runs backwards shows no negative age", () => {
    expect(plain(age(-40, "en"))).toBe("0.0 s");
  });

  test("latencies stay in milliseconds below a second", () => {
    expect(plain(latency(128.4, "en"))).toBe("128 ms");
    expect(plain(latency(1_400, "en"))).toBe("1.4 s");
    expect(plain(milliseconds(2.14, "en"))).toBe("2.1 ms");
  });

  test("relative time is exact under an hour and the time itself after", () => {
    const now = Date.UTC(2026, 10, 22, 20, 41, 7);
    expect(plain(ago(now - 2_100, now, "en"))).toBe("2.1 s ago");
    expect(plain(ago(now - 2_100, now, "zh"))).toBe("2.1 秒前");
    expect(ago(now - 7_200_000, now, "en")).toMatch(/^2026-11-2\d \d\d:41:07$/);
  });
});

describe("SQL times", () => {
  test("a text without a zone is never shifted", () => {
    const at = parseSqlTime("2026-11-22 20:41:05.500");
    expect(at).toBe(Date.UTC(2026, 10, 22, 20, 41, 5, 500));
    expect(chartTimeOfDay(at ?? 0, "wall")).toBe("20:41:05");
    expect(sqlTimeOfDay("2026-11-22 20:41:05.500", "wall")).toBe("20:41:05");
  });

  test("an instant is shown in the viewer's zone", () => {
    const here = new Date(Date.UTC(2026, 10, 22, 20, 41, 5));
    const hours = String(here.getHours()).padStart(2, "0");
    expect(sqlTimeOfDay("2026-11-22 20:41:05", "local")).toBe(`${hours}:${String(here.getMinutes()).padStart(2, "0")}:05`);
  });

  test("what is no time is shown as it is", () => {
    expect(parseSqlTime("华东")).toBeNull();
    expect(sqlTimeOfDay("soon", "wall")).toBe("soon");
  });
});

test("about how long ago is one unit", () => {
  const now = 10 * 86_400_000;
  expect([2_100, 59_999, 60_000, 3_599_999, 7_200_000, 3 * 86_400_000].map((ms) => plain(agoAbout(now - ms, now, "en")))).toEqual(["2.1 s ago", "1 min ago", "1 min ago", "59 min ago", "2 h ago", "3 d ago"]);
  expect(plain(agoAbout(now - 720_000, now, "zh"))).toBe("12 分钟前");
  expect(agoAbout(null, now, "en")).toBe("—");
});

import { describe, expect, test } from "vitest";
import type { Job, TableInfo, Topic } from "../src/api/types";
import { impactOf } from "../src/pages/sql/impact";
import { identifier, literal } from "../src/sql/quote";
import { type Destruction, destructions } from "../src/sql/statements";

const found = (text: string): [string, string][] => destructions(text).map(({ kind, name }) => [kind, name]);

describe("what a text would destroy", () => {
  test("is found, however it is written", () => {
    expect(found("DROP TABLE orders")).toEqual([["table", "orders"]]);
    expect(found("drop\n materialized -- really\n table if exists `a``b;c`;")).toEqual([["materialized_table", "a`b;c"]]);
    expect(found("STOP JOB 'it''s'")).toEqual([["stopped_job", "it's"]]);
    expect(found("DROP JOB IF EXISTS 'j'; ALTER MATERIALIZED TABLE `a b` SUSPEND; ALTER MATERIALIZED TABLE t RESUME")).toEqual([["dropped_job", "j"], ["stopped_job", "a b"]]);
    expect(found("SELECT 1; /* first */ DROP TABLE a; STOP JOB 'b'")).toEqual([["table", "a"], ["stopped_job", "b"]]);
    expect(found("DROP TABLE 订单")).toEqual([["table", "订单"]]);
  });

  test("is asked about also where we do not know the statement", () => {
    for (const text of ["DROP VIEW v", "DELETE FROM t", "TRUNCATE TABLE t", "ALTER TABLE t DROP (a)", "INSERT OVERWRITE t SELECT 1", "DROP", "STOP JOB"]) {
      expect([text, found(text)]).toEqual([text, [["other", ""]]]);
    }
  });

  test("is not what stands in quotes, in comments or elsewhere in a statement", () => {
    for (const text of ["SELECT 'DROP TABLE a'", "SELECT '; DROP TABLE a; '", "-- DROP TABLE a\nSELECT 1", "/* ; DROP TABLE a; */ SELECT 1", "SELECT `; DROP TABLE a` FROM t", "EXPLAIN SELECT 1", "INSERT INTO t SELECT 1", "", ";;"]) {
      expect([text, found(text)]).toEqual([text, []]);
    }
  });

  test("has the name that our own quoting wrote", () => {
    for (const name of ["x` ; DROP TABLE orders; --", "it's", "a\nb"]) {
      expect(found(`DROP TABLE ${identifier(name)}`)[0]?.[1]).toBe(name);
      expect(found(`STOP JOB ${literal(name)}`)[0]?.[1]).toBe(name);
    }
  });
});

describe("its impact", () => {
  const topic = (name: string, more: Partial<Topic> = {}) => ({ name, records: 7, bytes: 99, read_by: [], groups: [], ...more }) as unknown as Topic;
  const known = {
    tables: [{ name: "by_region", kind: "materialized_table", topic: "by_region_topic" }, { name: "orders", kind: "table", topic: "orders" }] as TableInfo[],
    jobs: [{ id: "by_region", sink: "by_region", sources: ["orders"], dead_letter_topic: "by_region.dlq", late_topic: "by_region.late" }, { id: "later", sink: "elsewhere", sources: ["by_region"] }] as unknown as Job[],
    topics: [topic("by_region_topic", { read_by: ["later"], groups: ["audit"] }), topic("by_region.late"), topic("by_region.dlq"), topic("orders")],
  };
  const count = (name: string) => ({ name, records: 7, bytes: 99 });
  const what = (kind: Destruction["kind"], name: string) => ({ kind, name, text: "" }) as Destruction;

  test("of a materialized table: its topic goes, what was set apart stays, its readers are named", () => {
    expect(impactOf(what("materialized_table", "by_region"), known)).toMatchObject({ goes: [count("by_region_topic")], leftovers: [count("by_region.dlq"), count("by_region.late")], users: ["later"], readers: ["audit"] });
  });

  test("of a table: its topic stays, jobs that use it are named", () => {
    expect(impactOf(what("table", "orders"), known)).toMatchObject({ goes: [], stays: [count("orders")], leftovers: [], users: ["by_region"], readers: [] });
  });

  test("of a job: its result stays; what it set apart is left over when it is dropped, not when it stops", () => {
    expect(impactOf(what("stopped_job", "by_region"), known)).toMatchObject({ goes: [], stays: [count("by_region_topic")], leftovers: [] });
    expect(impactOf(what("dropped_job", "by_region"), known)).toMatchObject({ stays: [count("by_region_topic")], leftovers: [count("by_region.dlq"), count("by_region.late")] });
  });

  test("is none for what is not there", () => {
    expect(impactOf(what("table", "by_region"), known)).toBeNull();
    expect(impactOf(what("stopped_job", "none"), known)).toBeNull();
  });
});

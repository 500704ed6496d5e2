/** Flink's dialect for the editor: words to colour and to complete. */
import { SQLDialect } from "@codemirror/lang-sql";

const KEYWORDS =
  "add all alter and array as asc begin between by case cast column columns comment computed create cross current_date current_time current_timestamp day days desc describe descriptor distinct drop else end escape except execute exists explain false filter first following for format from full group grouping having hour hours if ilike in inner insert intersect interval into is job jobs join key last lateral left like limit localtime localtimestamp map materialized metadata minute minutes month months multiset natural not null nulls of offset on options or order outer over overwrite partition partitioned plan preceding primary proctime range replace right row rows second seconds select set sets show similar some start statement stop suspend resume system_time table tables temporary then time to true try_cast tumble unbounded union unique unnest upsert using values view views virtual watermark when where window with within without year years zone enforced topics";
const TYPES =
  "bigint binary boolean bytes char date decimal double float int integer numeric real smallint string time timestamp timestamp_ltz tinyint varbinary varchar raw";
const BUILTIN =
  "abs avg ceil char_length coalesce concat count date_format extract floor from_unixtime greatest if_null least lower lpad max min mod now nullif power regexp replace round rpad split_index sqrt substring sum to_timestamp to_timestamp_ltz trim truncate tumble unix_timestamp upper uuid window_end window_start window_time";

export const flinkDialect = SQLDialect.define({
  keywords: KEYWORDS,
  types: TYPES,
  builtin: BUILTIN,
  backslashEscapes: false,
  doubleQuotedStrings: false,
  identifierQuotes: "`",
  operatorChars: "*+-%<>!=|/",
  charSetCasts: false,
  caseInsensitiveIdentifiers: false,
});

const words = (list: string): Set<string> => new Set(list.split(" "));
export const keywordSet = words(KEYWORDS);
export const typeSet = words(TYPES);
export const functionSet = words(BUILTIN);

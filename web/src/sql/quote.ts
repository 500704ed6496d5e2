/**
 * Names and values inside SQL text. A table's name is somebody else's input: it
 * goes into a statement through `identifier`, or it could be a statement itself.
 */

/** Flink's reserved words (Calcite's JAVA lexer): as a name they need backticks. */
const RESERVED = new Set(
  ("a abs absolute action add admin after all allocate allow alter always and any are array as asc assertion at atomic attribute attributes authorization avg " +
    "before begin bernoulli between bigint binary bit blob boolean both breadth by bytes call called cardinality cascade cascaded case cast catalog ceil ceiling chain char character check class clob close coalesce collate collation collect column columns commit condition connect constraint constraints constructor contains continue convert corr corresponding count create cross cube current cursor cycle " +
    "data database databases date datetime day deallocate dec decimal declare default deferrable delete depth deref desc describe descriptor deterministic disconnect distinct do domain double drop dynamic each element else end equals escape every except exec execute exists exp explain extend external extract false fetch filter final first float floor for foreign found free from full function functions fusion " +
    "general generated get global go goto grant group grouping having hold hour identity if immediate import in increment indicator initially inner inout input insensitive insert int integer intersect intersection interval into is isolation job jobs join key language large last lateral leading left length level like limit ln load local localtime localtimestamp locator lower " +
    "map match materialized max member merge method min minute mod modifies module modules month more multiset name names national natural nchar nclob new next no none normalize not null nullif nullable nulls numeric object octet_length of offset old on only open option or order ordinality out outer output over overlaps overlay overwrite " +
    "pad parameter parameters partial partition partitions path percent period plan position power precision prepare preserve primary prior privileges procedure public raw range rank read reads real recursive ref references refresh relative release replace reset restrict result return returns revoke right role rollback rollup routine row row_number rows " +
    "savepoint schema scope scroll search second section seek select self sensitive session session_user set sets show similar size skip smallint some source space specific sql sqrt start state statement static stop stream string submultiset subset substring sum symmetric system system_user table tables tablesample temporary then time timestamp timestamp_ltz timezone_hour timezone_minute tinyint to trailing transaction translate translation treat trigger trim true truncate tumble type " +
    "uescape union unique unknown unload unnest update upper upsert usage use user using value values varbinary varchar varying view views watermark watermarks when whenever where width_bucket window with within without work write xml year yes zone")
    .split(" "),
);

/** A name as SQL reads it: plain where it can be, else in backticks, which double inside. */
export function identifier(name: string): string {
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && !RESERVED.has(name.toLowerCase())) return name;
  return `\`${name.replaceAll("`", "``")}\``;
}

/** A text as SQL reads it: in quotes, which double inside; a backslash is only itself. */
export function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** The first rows of a table, to look at. */
export function firstRows(table: string): string {
  return `SELECT *\nFROM ${identifier(table)}\nLIMIT 50`;
}

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.calcite.config.Lex;
import org.apache.calcite.sql.parser.SqlParseException;
import org.apache.calcite.sql.parser.SqlParser;
import org.apache.flink.sql.parser.impl.FlinkSqlParserImpl;
import org.apache.flink.sql.parser.validate.FlinkSqlConformance;

/**
 * Parses the SQL of the files given with Flink's own parser, set up as Flink's
 * planner does it (PlannerContext). Of a Markdown file these are the blocks
 * marked sql, and the statements given to {@code millstream sql -e "..."}.
 */
public final class FlinkParser {
    private static final Pattern BLOCK = Pattern.compile("```sql\\n(.*?)```", Pattern.DOTALL);
    private static final Pattern COMMAND = Pattern.compile("millstream sql -e \"([^\"]*)\"");
    /** Statements of which Flink must take each, so that a parser that takes all or nothing is noticed. */
    private static final Map<String, Boolean> KNOWN = new LinkedHashMap<>();

    static {
        KNOWN.put("CREATE OR ALTER MATERIALIZED TABLE m AS SELECT a FROM t", true);
        KNOWN.put("CREATE MATERIALIZED TABLE m FRESHNESS = INTERVAL '1' MINUTE AS SELECT a FROM t", true);
        KNOWN.put("CREATE MATERIALIZED TABLE IF NOT EXISTS m AS SELECT a FROM t", false);
        KNOWN.put("CREATE TABLE t (a INT) WITH ('connector' = 'kafka') ENGINE", false);
    }

    private static SqlParser.Config config() {
        return SqlParser.config()
                .withParserFactory(FlinkSqlParserImpl.FACTORY)
                .withConformance(FlinkSqlConformance.DEFAULT)
                .withLex(Lex.JAVA)
                .withIdentifierMaxLength(256);
    }

    private static int parse(String sql) throws SqlParseException {
        return SqlParser.create(sql, config()).parseStmtList().size();
    }

    private static List<String> texts(Path file) throws Exception {
        String content = Files.readString(file);
        if (file.toString().endsWith(".sql")) {
            return List.of(content);
        }
        List<String> texts = new ArrayList<>();
        for (Pattern pattern : List.of(BLOCK, COMMAND)) {
            for (Matcher matcher = pattern.matcher(content); matcher.find(); ) {
                texts.add(matcher.group(1));
            }
        }
        return texts;
    }

    public static void main(String[] files) throws Exception {
        int failures = 0;
        for (Map.Entry<String, Boolean> known : KNOWN.entrySet()) {
            boolean taken = true;
            try {
                parse(known.getKey());
            } catch (SqlParseException refused) {
                taken = false;
            }
            if (taken != known.getValue()) {
                System.out.println("Flink's parser " + (taken ? "takes" : "refuses") + ": " + known.getKey());
                failures++;
            }
        }
        int statements = 0;
        for (String name : files) {
            for (String text : texts(Path.of(name))) {
                try {
                    statements += parse(text);
                } catch (SqlParseException refused) {
                    System.out.println(name + ": " + refused.getMessage().lines().limit(3).toList() + "\n"
                            + String.join("\n", text.strip().lines().limit(8).toList()));
                    failures++;
                }
            }
        }
        System.out.println(statements + " statements of " + files.length + " files, " + failures + " failures");
        // Files that hold nothing any more prove nothing.
        System.exit(failures > 0 || statements < files.length ? 1 : 0);
    }
}

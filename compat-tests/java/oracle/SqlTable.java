import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.filter.FilterFactory;
import org.apache.rocketmq.filter.expression.EvaluationContext;
import org.apache.rocketmq.filter.expression.Expression;

/**
 * Rewrites the third column of a table of SQL92 expressions (facts/sql92.tsv) with the answers of
 * Java's filter: java -cp CLASS_PATH_OF_THE_SERVER SqlTable.java facts/sql92.tsv
 */
public final class SqlTable {
    public static void main(String[] args) throws IOException {
        Path file = Path.of(args[0]);
        List<String> out = new ArrayList<>();
        for (String line : Files.readAllLines(file, StandardCharsets.UTF_8)) {
            if (line.startsWith("#")) {
                out.add(line);
                continue;
            }
            String[] cells = line.split("\t", -1);
            String answer = answer(unescape(cells[0]), properties(cells[1]));
            out.add(cells[0] + "\t" + cells[1] + "\t" + answer);
        }
        Files.write(file, out, StandardCharsets.UTF_8);
    }

    private static String answer(String text, Map<String, String> properties) {
        Expression expression;
        try {
            expression = FilterFactory.INSTANCE.get("SQL92").compile(text);
        } catch (Exception e) {
            return "illegal";
        }
        try {
            return String.valueOf(expression.evaluate(new Context(properties)));
        } catch (Throwable e) {
            return "error";
        }
    }

    private static Map<String, String> properties(String cell) {
        Map<String, String> properties = new HashMap<>();
        for (String pair : cell.split(" ")) {
            int at = pair.indexOf('=');
            if (at > 0) {
                properties.put(pair.substring(0, at), unescape(pair.substring(at + 1)));
            }
        }
        return properties;
    }

    private static String unescape(String cell) {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < cell.length(); i++) {
            char c = cell.charAt(i);
            if (c != '\\') {
                text.append(c);
                continue;
            }
            i++;
            switch (cell.charAt(i)) {
                case 'n': text.append('\n'); break;
                case 'r': text.append('\r'); break;
                case 't': text.append('\t'); break;
                case 'f': text.append('\f'); break;
                case 's': text.append(' '); break;
                default: text.append(cell.charAt(i));
            }
        }
        return text.toString();
    }

    private static final class Context implements EvaluationContext {
        private final Map<String, String> properties;

        Context(Map<String, String> properties) {
            this.properties = properties;
        }

        @Override
        public Object get(String name) {
            return properties.get(name);
        }

        @Override
        public Map<String, Object> keyValues() {
            return new HashMap<>(properties);
        }
    }
}

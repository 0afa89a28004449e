package compat;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** The line protocol with the process that started us: results out, NEED out, DONE in. */
final class Runner {
    private final PrintStream out;
    private final AtomicInteger ids = new AtomicInteger();
    private final Map<String, CompletableFuture<String>> pending = new ConcurrentHashMap<>();

    Runner(PrintStream out) {
        this.out = out;
        Thread reader = new Thread(this::read, "runner-answers");
        reader.setDaemon(true);
        reader.start();
    }

    private void read() {
        try (BufferedReader in = new BufferedReader(
                new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                String[] words = line.split(" ", 3);
                CompletableFuture<String> answer = pending.remove(words[1]);
                if (words[0].equals("DONE")) {
                    answer.complete(words[2]);
                } else {
                    answer.completeExceptionally(new IllegalStateException(words[2]));
                }
            }
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Starts one more broker with settings such as key=value; answers with its address. */
    String startBroker(String name, String... settings) throws Exception {
        String words = String.join(" ", settings);
        return need(("start " + name + " " + words).trim()).get(180, TimeUnit.SECONDS);
    }

    /** Starts an mqserver without configuration; answers with its name server's address. */
    String startServer(String name) throws Exception {
        return need("server " + name).get(180, TimeUnit.SECONDS);
    }

    /** Begins to stop a broker gracefully; completes when its process has ended. */
    CompletableFuture<String> stopBroker(String name) {
        return need("stop " + name);
    }

    /** Kills a broker that is not needed any more. */
    void killBroker(String name) throws Exception {
        need("kill " + name).get(180, TimeUnit.SECONDS);
    }

    private CompletableFuture<String> need(String request) {
        String id = String.valueOf(ids.incrementAndGet());
        CompletableFuture<String> answer = new CompletableFuture<>();
        pending.put(id, answer);
        print("NEED " + id + " " + request);
        return answer;
    }

    void result(String scenario, String outcome, String detail) {
        print("SCENARIO " + scenario + " " + outcome + " " + detail.replace('\n', ' '));
    }

    void figure(String text) {
        print("FIGURE " + text);
    }

    void end() {
        print("END");
    }

    private synchronized void print(String line) {
        out.println(line);
        out.flush();
    }
}

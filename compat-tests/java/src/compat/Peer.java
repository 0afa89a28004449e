package compat;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Predicate;
import java.util.stream.Collectors;

/**
 * A client in a process of its own, so that it can be killed, run with other system properties,
 * or be the Go client. It prints READY, then GOT and SENT lines; it reads SEND and STOP lines.
 */
final class Peer implements AutoCloseable {
    private final Process process;
    private final PrintStream commands;
    private final List<String> lines = new ArrayList<>();
    private boolean ended;

    private Peer(List<String> argv) throws IOException {
        ProcessBuilder builder = new ProcessBuilder(argv);
        builder.redirectError(ProcessBuilder.Redirect.DISCARD);
        process = builder.start();
        commands = new PrintStream(process.getOutputStream(), true);
        Thread reader = new Thread(this::read, "peer-reader");
        reader.setDaemon(true);
        reader.start();
    }

    /** A JVM with the client version of this one; {@code options} go to the JVM. */
    static Peer java(List<String> options, String... args) throws IOException {
        List<String> argv = new ArrayList<>();
        argv.add(System.getProperty("java.home") + "/bin/java");
        argv.addAll(Arrays.asList("-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"));
        for (String name : new String[] {"user.home", "java.net.preferIPv4Stack",
            "rocketmq.client.logUseSlf4j", "rocketmq.client.logLevel"}) {
            argv.add("-D" + name + "=" + System.getProperty(name));
        }
        argv.addAll(options);
        argv.addAll(Arrays.asList("-cp", System.getProperty("java.class.path"), "compat.PeerMain"));
        argv.addAll(Arrays.asList(args));
        return new Peer(argv);
    }

    /** The Go program as peer; skips the scenario where there is none. */
    static Peer go(String... args) throws IOException {
        String binary = System.getenv("COMPAT_GO");
        if (binary == null) {
            throw new Skip("Go is not installed");
        }
        List<String> argv = new ArrayList<>(Arrays.asList(binary, "peer"));
        argv.addAll(Arrays.asList(args));
        return new Peer(argv);
    }

    private void read() {
        try (BufferedReader reader = new BufferedReader(
                new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
            for (String line = reader.readLine(); line != null; line = reader.readLine()) {
                synchronized (this) {
                    lines.add(line);
                    notifyAll();
                }
            }
        } catch (IOException e) {
            // The process was killed.
        }
        synchronized (this) {
            ended = true;
            notifyAll();
        }
    }

    /** The text behind {@code word} of every line that starts with it. */
    synchronized List<String> all(String word) {
        return lines.stream().filter(line -> line.startsWith(word + " "))
                .map(line -> line.substring(word.length() + 1)).collect(Collectors.toList());
    }

    void awaitReady() throws InterruptedException {
        await(30_000, "READY", lines -> lines.contains("READY"));
    }

    void await(int count, String word, long millis) throws InterruptedException {
        await(millis, count + " lines " + word, lines -> all(word).size() >= count);
    }

    private synchronized void await(long millis, String what, Predicate<List<String>> holds)
            throws InterruptedException {
        long deadline = System.nanoTime() + millis * 1_000_000;
        while (!holds.test(lines)) {
            long left = (deadline - System.nanoTime()) / 1_000_000;
            if (left <= 0 || ended) {
                throw new AssertionError("the peer process printed no " + what
                        + (ended ? ", it ended; got " : "; got ") + lines);
            }
            wait(left);
        }
    }

    void send(String topic, String body) {
        command("SEND " + topic + " " + body);
    }

    void command(String line) {
        commands.println(line);
    }

    /** Orderly end: the peer shuts its client down. */
    void stop() throws InterruptedException {
        commands.println("STOP");
        process.waitFor();
    }

    /** SIGKILL. */
    void kill() throws InterruptedException {
        process.destroyForcibly().waitFor();
    }

    @Override
    public void close() throws InterruptedException {
        kill();
    }
}

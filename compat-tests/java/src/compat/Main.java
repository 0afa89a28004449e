package compat;

import java.io.OutputStream;
import java.io.PrintStream;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.stream.Collectors;

/** Runs the scenarios named on the command line, or all, at once in this JVM. */
final class Main {
    /** Scenarios mostly wait; more at once only makes their time-outs tight. */
    private static final int CONCURRENCY = 24;

    private Main() {}

    public static void main(String[] args) throws Exception {
        Runner runner = new Runner(System.out);
        System.setOut(new PrintStream(OutputStream.nullOutputStream()));
        Set<String> wanted = new LinkedHashSet<>(Arrays.asList(args));
        Context.Settings settings = new Context.Settings();
        var selected = Scenarios.all().stream()
                .filter(entry -> wanted.isEmpty() || wanted.contains(entry.name))
                .collect(Collectors.toList());
        var known = selected.stream().map(entry -> entry.name).collect(Collectors.toSet());
        wanted.stream().filter(name -> !known.contains(name))
                .forEach(name -> runner.result(name, "UNKNOWN", ""));
        var admin = settings.admin("admin_" + ProcessHandle.current().pid());
        admin.start();
        var producer = settings.producer("shared_" + settings.client.replace('.', '_'));
        producer.start();

        boolean everything = Boolean.parseBoolean(System.getenv("COMPAT_ALL"))
                || !wanted.isEmpty();
        ExecutorService pool = Executors.newFixedThreadPool(CONCURRENCY);
        for (boolean alone : new boolean[] {false, true}) {
            var batch = selected.stream().filter(entry -> entry.alone == alone)
                    .collect(Collectors.toList());
            CountDownLatch left = new CountDownLatch(batch.size());
            for (Scenarios.Entry entry : batch) {
                pool.execute(() -> {
                    String reason = entry.skipReason(settings, everything);
                    if (reason == null) {
                        run(entry, new Context(settings, admin, producer, runner, entry.name));
                    } else {
                        runner.result(entry.name, "SKIP", reason);
                    }
                    left.countDown();
                });
            }
            left.await();
        }
        runner.end();
        Runtime.getRuntime().halt(0);
    }

    private static void run(Scenarios.Entry entry, Context context) {
        long start = System.nanoTime();
        try (context) {
            entry.scenario.run(context);
            long millis = (System.nanoTime() - start) / 1_000_000;
            context.runner.result(entry.name, "PASS", millis + "ms");
        } catch (Skip skip) {
            context.runner.result(entry.name, "SKIP", skip.getMessage());
        } catch (Throwable failure) {
            context.runner.result(entry.name, "FAIL", describe(failure));
        }
    }

    private static String describe(Throwable failure) {
        String at = Arrays.stream(failure.getStackTrace())
                .filter(frame -> frame.getClassName().endsWith("Scenarios")
                        || frame.getClassName().endsWith("Scenario"))
                .map(frame -> " (" + frame.getFileName() + ":" + frame.getLineNumber() + ")")
                .findFirst().orElse("");
        String text = failure instanceof AssertionError ? failure.getMessage() : failure.toString();
        return text + at;
    }
}

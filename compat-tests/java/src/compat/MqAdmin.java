package compat;

import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.Field;
import java.nio.charset.StandardCharsets;
import java.security.Permission;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.common.MixAll;
import org.apache.rocketmq.tools.command.MQAdminStartup;

/**
 * Runs many mqadmin command lines in one JVM while clients stay connected. Arguments: name server,
 * broker.
 *
 * Standard input has a line for each command: the seconds it may take, then its words, separated by
 * tabs. Standard output has first {@code VALUE name text} for everything that commands name, then
 * {@code READY}, then for each command {@code RESULT exit out err}, where out and err are numbers of
 * bytes, and those bytes. The exit code is -1 for a command that was cut off.
 */
final class MqAdmin {
    private static final int CUT_OFF = -1;
    private static final int DIED = 1;
    private static final int EVENT_MILLIS = 20;
    private static final int GRACE_SECONDS = 4;

    /** What a command throws instead of ending the process. */
    private static final class Exit extends Error {
        private static final long serialVersionUID = 1;
        final int status;

        Exit(int status) {
            super(null, null, false, false);
            this.status = status;
        }
    }

    private static final class ExitsThrow extends SecurityManager {
        @Override
        public void checkExit(int status) {
            throw new Exit(status);
        }

        @Override
        public void checkPermission(Permission permission) {
            // Everything else is allowed.
        }

        @Override
        public void checkPermission(Permission permission, Object context) {
            // Everything else is allowed.
        }
    }

    private volatile int status;

    private MqAdmin() {}

    @SuppressWarnings("removal")
    public static void main(String[] args) throws Exception {
        PrintStream frames = new PrintStream(new FileOutputStream(FileDescriptor.out), false);
        PrintStream own = System.err;
        System.setOut(own);
        System.setSecurityManager(new ExitsThrow());
        try {
            new MqAdminTraffic(args[0], args[1]).start((name, text) ->
                    frames.println("VALUE " + name + " " + text));
        } catch (Throwable failure) {
            // The clients' threads would keep this process alive.
            failure.printStackTrace();
            end(DIED);
        }
        frames.println("READY");
        frames.flush();
        try (BufferedReader in = new BufferedReader(
                new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                String[] words = line.split("\t", -1);
                String[] command = Arrays.copyOfRange(words, 1, words.length);
                new MqAdmin().run(command, Integer.parseInt(words[0]), frames);
                System.setOut(own);
                System.setErr(own);
            }
        }
        end(0);
    }

    @SuppressWarnings("removal")
    private static void end(int status) {
        System.setSecurityManager(null);
        Runtime.getRuntime().halt(status);
    }

    @SuppressWarnings({"deprecation", "removal"})
    private void run(String[] command, int seconds, PrintStream frames)
            throws IOException, InterruptedException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
        System.clearProperty(MixAll.NAMESRV_ADDR_PROPERTY);
        ThreadGroup threads = new ThreadGroup("mqadmin");
        Thread thread = new Thread(threads, () -> execute(command), "mqadmin");
        thread.start();
        boolean ended = awaitEnd(thread, threads, seconds);
        // What a command says of its interruption is no part of the answer.
        byte[] said = out.toByteArray();
        byte[] failed = err.toByteArray();
        if (!ended) {
            thread.interrupt();
            if (!awaitEnd(thread, threads, GRACE_SECONDS)) {
                thread.stop();
                thread.join();
            }
            status = CUT_OFF;
        }
        frames.println("RESULT " + status + " " + said.length + " " + failed.length);
        frames.write(said);
        frames.write(failed);
        frames.flush();
    }

    private static boolean awaitEnd(Thread thread, ThreadGroup threads, int seconds)
            throws InterruptedException {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(seconds);
        while (thread.isAlive() && System.nanoTime() < deadline) {
            thread.join(EVENT_MILLIS);
            if (isIn(thread, "shutdown")) {
                wakeEvents(threads);
            }
        }
        return !thread.isAlive();
    }

    /** A client that ends waits up to 3 s for its thread of events, which nobody wakes. */
    private static void wakeEvents(ThreadGroup group) {
        Thread[] threads = new Thread[group.activeCount() + 8];
        int count = group.enumerate(threads);
        for (Thread thread : Arrays.copyOf(threads, count)) {
            if (thread.getName().equals("NettyEventExecutor") && isIn(thread, "poll")) {
                thread.interrupt();
            }
        }
    }

    private static boolean isIn(Thread thread, String method) {
        return Arrays.stream(thread.getStackTrace())
                .anyMatch(frame -> frame.getMethodName().equals(method));
    }

    private void execute(String[] command) {
        try {
            forgetCommands();
            MQAdminStartup.main0(command, null);
        } catch (Exit exit) {
            status = exit.status;
        } catch (Throwable failure) {
            failure.printStackTrace();
            status = DIED;
        }
    }

    /** The list of commands is static and grows with every start; commands keep what they used. */
    private static void forgetCommands() throws IllegalAccessException {
        for (Field field : MQAdminStartup.class.getDeclaredFields()) {
            if (List.class.isAssignableFrom(field.getType())) {
                field.setAccessible(true);
                ((List<?>) field.get(null)).clear();
            }
        }
    }
}

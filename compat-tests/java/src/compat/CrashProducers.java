package compat;

import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;

/**
 * Producers in a closed loop that go on through crashes of the broker: one line for every SEND_OK.
 * Arguments: name server, topic, number of producers. Ends when standard input ends.
 */
public final class CrashProducers {
    private static final AtomicLong NEXT = new AtomicLong();

    public static void main(String[] args) throws Exception {
        PrintStream out = new PrintStream(new java.io.FileOutputStream(java.io.FileDescriptor.out), false);
        for (int i = 0; i < Integer.parseInt(args[2]); i++) {
            DefaultMQProducer producer = new DefaultMQProducer("crash-producers-" + i);
            producer.setNamesrvAddr(args[0]);
            producer.setInstanceName("crash-" + i);
            producer.setSendMsgTimeout(1000);
            producer.setRetryTimesWhenSendFailed(0);
            producer.start();
            Thread thread = new Thread(() -> send(producer, args[1], out), "crash-" + i);
            thread.setDaemon(true);
            thread.start();
        }
        while (System.in.read() >= 0) {
            // Nothing is said on standard input; its end is the sign to stop.
        }
        out.flush();
        Runtime.getRuntime().halt(0);
    }

    private static void send(DefaultMQProducer producer, String topic, PrintStream out) {
        while (true) {
            long number = NEXT.getAndIncrement();
            byte[] body = String.format("%-200d", number).getBytes(StandardCharsets.UTF_8);
            try {
                SendResult result = producer.send(new Message(topic, "crash", "k" + number, body));
                if (result.getSendStatus() == SendStatus.SEND_OK) {
                    String line = "ACK " + result.getMessageQueue().getQueueId() + " " + result.getQueueOffset()
                        + " " + result.getMsgId() + " " + number + "\n";
                    synchronized (out) {
                        out.print(line);
                        out.flush();
                    }
                }
            } catch (Exception e) {
                pause();
            }
        }
    }

    private static void pause() {
        try {
            Thread.sleep(10);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}

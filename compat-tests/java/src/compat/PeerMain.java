package compat;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** The peer process: {@code concurrent|orderly|transaction TOPIC GROUP}; see {@link Peer}. */
final class PeerMain {
    private PeerMain() {}

    public static void main(String[] args) throws Exception {
        if (args[0].equals("transaction")) {
            sendTransactions(args[2]);
        } else {
            consumeAndSend(args);
        }
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }

    private static void sendTransactions(String group) throws Exception {
        var producer = TransactionScenarios.started(new Context.Settings(), group, group + "_peer",
                new TransactionScenarios.Decider());
        System.out.println("READY");
        serve(message -> producer.sendMessageInTransaction(message, null));
        producer.shutdown();
    }

    /** What a SEND line does. */
    private interface Sender {
        SendResult send(Message message) throws Exception;
    }

    /** Obeys SEND lines until STOP or the end. */
    private static void serve(Sender sender) throws Exception {
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            String[] words = line.split(" ", 3);
            if (words[0].equals("STOP")) {
                return;
            }
            byte[] body = words[2].getBytes(StandardCharsets.UTF_8);
            System.out.println("SENT " + sender.send(new Message(words[1], body)).getMsgId());
        }
    }

    private static void consumeAndSend(String[] args) throws Exception {
        PrintStream out = System.out;
        Inbox inbox = new Inbox() {
            @Override
            synchronized void add(List<MessageExt> messages) {
                for (MessageExt message : messages) {
                    String body = new String(message.getBody(), StandardCharsets.UTF_8);
                    out.println("GOT " + message.getQueueId() + " " + body);
                }
            }
        };
        Context.Settings settings = new Context.Settings();
        DefaultMQPushConsumer consumer = settings.consumer(args[2]);
        consumer.subscribe(args[1], "*");
        if (args[0].equals("orderly")) {
            consumer.registerMessageListener(inbox.orderly());
        } else {
            consumer.registerMessageListener(inbox.concurrently());
        }
        consumer.start();
        awaitQueues(consumer, args[1]);
        DefaultMQProducer producer = settings.producer(args[2] + "_producer");
        producer.start();
        out.println("READY");
        serve(producer::send);
        consumer.shutdown();
        producer.shutdown();
    }

    /** Waits for every queue, or where other members have some, for 3 s. */
    private static void awaitQueues(DefaultMQPushConsumer consumer, String topic)
            throws Exception {
        int all = consumer.fetchSubscribeMessageQueues(topic).size();
        var table = consumer.getDefaultMQPushConsumerImpl().getRebalanceImpl()
                .getProcessQueueTable();
        long deadline = System.nanoTime() + 3_000_000_000L;
        while (System.nanoTime() < deadline && table.keySet().stream()
                .filter(queue -> queue.getTopic().equals(topic)).count() < all) {
            Thread.sleep(20);
        }
    }
}

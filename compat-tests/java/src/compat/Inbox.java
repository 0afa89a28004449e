package compat;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyContext;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyContext;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.common.message.MessageExt;

/** Collects what a push consumer is given, with the time of arrival. */
class Inbox {
    static final class Arrival {
        final MessageExt message;
        final long nanos = System.nanoTime();

        Arrival(MessageExt message) {
            this.message = message;
        }

        String body() {
            return new String(message.getBody(), StandardCharsets.UTF_8);
        }
    }

    private final List<Arrival> arrivals = new ArrayList<>();

    synchronized void add(List<MessageExt> messages) {
        for (MessageExt message : messages) {
            arrivals.add(new Arrival(message));
        }
        notifyAll();
    }

    MessageListenerConcurrently concurrently() {
        return new MessageListenerConcurrently() {
            @Override
            public ConsumeConcurrentlyStatus consumeMessage(
                    List<MessageExt> messages, ConsumeConcurrentlyContext context) {
                add(messages);
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            }
        };
    }

    MessageListenerOrderly orderly() {
        return new MessageListenerOrderly() {
            @Override
            public ConsumeOrderlyStatus consumeMessage(
                    List<MessageExt> messages, ConsumeOrderlyContext context) {
                add(messages);
                return ConsumeOrderlyStatus.SUCCESS;
            }
        };
    }

    synchronized int size() {
        return arrivals.size();
    }

    synchronized List<Arrival> all() {
        return new ArrayList<>(arrivals);
    }

    List<String> bodies() {
        return all().stream().map(Arrival::body).collect(Collectors.toList());
    }

    /** The first {@code count} arrivals; fails if they do not come within {@code millis}. */
    synchronized List<Arrival> await(int count, long millis) throws InterruptedException {
        long deadline = System.nanoTime() + millis * 1_000_000;
        while (arrivals.size() < count) {
            long left = (deadline - System.nanoTime()) / 1_000_000;
            if (left <= 0) {
                throw new AssertionError("expected " + count + " messages within " + millis
                        + " ms, got " + arrivals.size() + ": " + bodies());
            }
            wait(left);
        }
        return new ArrayList<>(arrivals.subList(0, count));
    }

    /** Awaits {@code count} messages, then fails if one more comes within {@code quiet} ms. */
    synchronized List<Arrival> awaitExactly(int count, long millis, long quiet)
            throws InterruptedException {
        List<Arrival> got = await(count, millis);
        long deadline = System.nanoTime() + quiet * 1_000_000;
        for (long left = quiet; left > 0; left = (deadline - System.nanoTime()) / 1_000_000) {
            wait(left);
        }
        Check.equal("messages in the end " + bodies(), count, arrivals.size());
        return got;
    }
}

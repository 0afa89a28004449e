package compat;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyContext;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.exception.RequestTimeoutException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.RequestCallback;
import org.apache.rocketmq.client.utils.MessageUtil;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Requests that wait for a reply. */
final class RequestScenarios {
    private RequestScenarios() {}

    /** Answers every request, by each of {@code ways} in turn. */
    private static final class Replier implements MessageListenerConcurrently {
        private final DefaultMQProducer producer;
        private final List<MessageQueue> ways;
        private int next;
        final List<Exception> failures = new CopyOnWriteArrayList<>();

        Replier(DefaultMQProducer producer, List<MessageQueue> ways) {
            this.producer = producer;
            this.ways = ways;
        }

        @Override
        public synchronized ConsumeConcurrentlyStatus consumeMessage(
                List<MessageExt> messages, ConsumeConcurrentlyContext context) {
            for (MessageExt message : messages) {
                String body = "re: " + new String(message.getBody(), StandardCharsets.UTF_8);
                try {
                    Message reply = MessageUtil.createReplyMessage(message, body.getBytes());
                    producer.send(reply, ways.get(next++ % ways.size()));
                } catch (Exception e) {
                    failures.add(e);
                    return ConsumeConcurrentlyStatus.RECONSUME_LATER;
                }
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        }
    }

    /**
     * Starts a replier and waits for its {@code queues} queues. It replies by {@code brokers},
     * as a requester knows only those of its topic: others of the cluster, which come and go
     * beside this scenario, cannot reach it. Answers with what could not be sent.
     */
    private static List<Exception> startReplier(Context c, int queues, String... brokers)
            throws Exception {
        List<MessageQueue> ways = new ArrayList<>();
        for (String broker : brokers) {
            ways.add(new MessageQueue(c.settings.cluster + "_REPLY_TOPIC", broker, 0));
        }
        DefaultMQPushConsumer consumer = c.consumer();
        consumer.subscribe(c.topic, "*");
        Replier replier = new Replier(c.producer("_replier"), ways);
        consumer.registerMessageListener(replier);
        consumer.start();
        Check.eventually(20_000, "queues of the replier", queues,
                () -> c.assigned(consumer).size());
        return replier.failures;
    }

    /**
     * Asks with a callback, as the blocking form of 5.3.3 returns once the request is stored.
     * All clients call back then, too, without a reply.
     */
    private static String ask(DefaultMQProducer producer, Message request, long millis)
            throws Exception {
        CompletableFuture<Message> answer = new CompletableFuture<>();
        producer.request(request, new RequestCallback() {
            @Override
            public void onSuccess(Message reply) {
                if (reply != null) {
                    answer.complete(reply);
                }
            }

            @Override
            public void onException(Throwable failure) {
                answer.completeExceptionally(failure);
            }
        }, millis);
        try {
            byte[] body = answer.get(millis + 10_000, TimeUnit.MILLISECONDS).getBody();
            return new String(body, StandardCharsets.UTF_8);
        } catch (ExecutionException e) {
            throw (Exception) e.getCause();
        }
    }

    static void reply(Context c) throws Exception {
        c.createTopic(2);
        List<Exception> failures = startReplier(c, 2, "broker-a");
        // Its first message ever is a request.
        DefaultMQProducer requester = c.producer("_requester");
        Check.equal("first reply", "re: first", ask(requester, c.message("first"), 10_000));
        for (int i = 0; i < 20; i++) {
            Check.equal("reply", "re: more" + i, ask(requester, c.message("more" + i), 10_000));
        }
        Check.equal("failures of the replier", List.of(), failures);
        String silent = c.topic + "_silent";
        c.createTopic(c.settings.brokerA, silent, 1, 6);
        Check.thrown("request that nobody answers", RequestTimeoutException.class,
                () -> ask(requester, new Message(silent, "anybody?".getBytes()), 2000));
    }

    static void replyByAnyBroker(Context c) throws Exception {
        c.createTopic(2);
        c.createTopic(c.settings.brokerB, c.topic, 2, 6);
        List<Exception> failures = startReplier(c, 4, "broker-a", "broker-b");
        DefaultMQProducer requester = c.producer("_requester");
        for (int i = 0; i < 8; i++) {
            Check.equal("reply", "re: r" + i, ask(requester, c.message("r" + i), 10_000));
        }
        Check.equal("failures of the replier", List.of(), failures);
    }
}

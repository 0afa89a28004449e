package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

// decider settles a transaction by its body: the word before the blank at once, the one behind
// it when asked.
type decider struct {
	lock   sync.Mutex
	checks map[string]int
}

func stateOf(word string) primitive.LocalTransactionState {
	switch word {
	case "commit":
		return primitive.CommitMessageState
	case "rollback":
		return primitive.RollbackMessageState
	default:
		return primitive.UnkonwnState
	}
}

func (d *decider) ExecuteLocalTransaction(m *primitive.Message) primitive.LocalTransactionState {
	return stateOf(strings.Fields(string(m.Body))[0])
}

func (d *decider) CheckLocalTransaction(m *primitive.MessageExt) primitive.LocalTransactionState {
	d.lock.Lock()
	defer d.lock.Unlock()
	d.checks[string(m.Body)]++
	return stateOf(strings.Fields(string(m.Body))[1])
}

func (d *decider) count(body string) int {
	d.lock.Lock()
	defer d.lock.Unlock()
	return d.checks[body]
}

// besideConsumer makes a producer one client with the scenario's consumer, whose start greets the
// broker for both: a producer alone is unknown there for up to 30 s.
func (s *scenario) besideConsumer() []producer.Option {
	return []producer.Option{
		producer.WithGroupName(s.group + "_beside"),
		producer.WithInstanceName(fmt.Sprintf("%s_%d", s.group, os.Getpid())),
		producer.WithNameServer(primitive.NamesrvAddr{nameServer}),
	}
}

// The Go client ends transactions without naming their topic.
func transactions(s *scenario) {
	s.createTopic(s.topic, 2)
	d := &decider{checks: map[string]int{}}
	p, err := rocketmq.NewTransactionProducer(d, s.besideConsumer()...)
	ok(err)
	ok(p.Start())
	s.atEnd(func() { _ = p.Shutdown() })
	received := s.consume()
	for _, body := range []string{
		"commit never", "rollback never", "unknown commit", "unknown rollback",
	} {
		result, err := p.SendMessageInTransaction(context.Background(), s.message(body))
		ok(err)
		equal("status of "+body, primitive.SendOK, result.Status)
	}
	expected := once("commit never", "unknown commit")
	eventually(30*time.Second, "bodies", expected, func() any { return received.counts() })
	eventually(5*time.Second, "checks of what rolls back", 1, func() any {
		return d.count("unknown rollback")
	})
	// One more check would come after five seconds.
	time.Sleep(6 * time.Second)
	equal("bodies in the end", expected, received.counts())
	equal("checks", map[string]int{"unknown commit": 1, "unknown rollback": 1}, d.checks)
}

// The Go client replies with the older code 324. It forgets the body that it is given for a reply,
// which the broker refuses as it refuses every message without one; so the replier adds it.
func requestAndReply(s *scenario) {
	s.createTopic(s.topic, 1)
	requester, err := rocketmq.NewProducer(s.besideConsumer()...)
	ok(err)
	ok(requester.Start())
	s.atEnd(func() { _ = requester.Shutdown() })
	replier := newProducer(s.group + "_replier")
	s.atEnd(func() { _ = replier.Shutdown() })
	failures := make(chan error, 100)
	s.consumer(func(ctx context.Context, messages ...*received) (result, error) {
		for _, message := range messages {
			body := []byte("re: " + string(message.Body))
			reply, err := consumer.CreateReplyMessage(message, body)
			if err == nil && string(message.Body) != "empty" {
				reply.Body = body
			}
			if err == nil {
				_, err = replier.SendSync(ctx, reply)
			}
			if err != nil {
				failures <- err
			}
		}
		return consumer.ConsumeSuccess, nil
	})
	for _, body := range numbered("ask", 5) {
		reply, err := requester.Request(context.Background(), 10*time.Second, s.message(body))
		ok(err)
		equal("topic of the reply", "DefaultCluster_REPLY_TOPIC", reply.Topic)
		equal("its body", "re: "+body, string(reply.Body))
	}
	equal("failures of the replier", 0, len(failures))
	_, err = requester.Request(context.Background(), time.Second, s.message("empty"))
	if err == nil {
		panic("a reply without a body came")
	}
	refused := (<-failures).Error()
	equal("refusal "+refused, true, strings.HasPrefix(refused, "CODE: 1, "))
}

// The Go client's pulls say TAG: the broker must filter by what the heartbeat registered.
func sqlFilter(s *scenario) {
	s.createTopic(s.topic, 2)
	inbox := &inbox{}
	c, err := rocketmq.NewPushConsumer(consumer.WithGroupName(s.group),
		consumer.WithInstance(fmt.Sprintf("%s_%d", s.group, os.Getpid())),
		consumer.WithNameServer(primitive.NamesrvAddr{nameServer}),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset))
	ok(err)
	ok(c.Subscribe(s.topic, consumer.MessageSelector{
		Type: consumer.SQL92, Expression: "number > 6 AND kind = 'good'",
	}, func(_ context.Context, messages ...*received) (result, error) {
		inbox.add(messages...)
		return consumer.ConsumeSuccess, nil
	}))
	ok(c.Start())
	s.atEnd(func() { _ = c.Shutdown() })
	p := s.producer()
	for i, body := range numbered("m", 10) {
		for _, kind := range []string{"good", "bad"} {
			message := s.message(kind + " " + body)
			message.WithProperty("number", fmt.Sprint(i))
			message.WithProperty("kind", kind)
			_, err := p.SendSync(context.Background(), message)
			ok(err)
		}
	}
	expected := once("good m7", "good m8", "good m9")
	eventually(20*time.Second, "bodies", expected, func() any { return inbox.counts() })
	time.Sleep(time.Second)
	equal("bodies in the end", expected, inbox.counts())
}

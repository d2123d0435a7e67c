// Sends images to onnx-kafka-edge over Kafka and prints what comes back, as ../../docs/wire-format.md has it.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const exitUsage, exitBadData, exitUnavailable, exitNotAuthorised, exitNoTopic = 2, 65, 69, 77, 78

// failure ends the program: a sentence that says what to do, and an exit code.
type failure struct {
	code int
	text string
}

func (f failure) Error() string { return f.text }

// session is one run: its options, its connection, and what it sends.
type session struct {
	brokers, requests, predictions, deadLetters string
	imageFile, labelFile, device, prefix        string
	size, count                                 int
	interval, timeout                           time.Duration
	kafka                                       *kgo.Client
	images, labels                              [][]byte
}

func main() {
	s := parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := s.run(ctx); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "error:", printable(err.Error()))
		var f failure
		errors.As(err, &f)
		os.Exit(cmp.Or(f.code, exitUnavailable))
	}
}

func parse() *session {
	s := &session{}
	servers := cmp.Or(os.Getenv("EDGE_BOOTSTRAP_SERVERS"), "localhost:9092")
	flag.StringVar(&s.brokers, "brokers", servers, "Kafka brokers, `host:port,…`; or EDGE_BOOTSTRAP_SERVERS")
	flag.StringVar(&s.requests, "request-topic", "prediction_request", "`topic` of the images")
	flag.StringVar(&s.predictions, "prediction-topic", "prediction_output", "`topic` of the predictions")
	flag.StringVar(&s.deadLetters, "dead-letter-topic", "prediction_dead_letter", "`topic` of what cannot be answered")
	flag.StringVar(&s.imageFile, "images", "", "`file` of images: IDX, or raw bytes; .gz is unpacked")
	flag.StringVar(&s.labelFile, "labels", "", "`file` of their true classes: IDX, or a byte each")
	flag.IntVar(&s.size, "size", 28*28, "`bytes` of an image in a raw file")
	flag.IntVar(&s.count, "n", 10, "how many requests to send, over and over the images")
	flag.StringVar(&s.device, "device", "go-client", "`name` of this device: the key of its requests")
	flag.DurationVar(&s.interval, "interval", 50*time.Millisecond, "time from request to request")
	flag.DurationVar(&s.timeout, "timeout", 30*time.Second, "how long to wait for a broker, and for the last answers")
	flag.Parse()
	if s.imageFile == "" || s.count < 1 || s.size < 1 || s.interval < 0 || s.timeout <= 0 || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "error: -images must name a file, and -n, -size and -timeout be above 0; see -help")
		os.Exit(exitUsage)
	}
	return s
}

func (s *session) run(ctx context.Context) (err error) {
	if s.images, s.labels, err = load(s.imageFile, s.labelFile, s.size); err != nil {
		return err
	}
	s.kafka, err = kgo.NewClient( // idempotent, and by murmur2, unless told otherwise
		kgo.SeedBrokers(strings.Split(s.brokers, ",")...),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.ProducerLinger(0), // a lone image waits for no others
	)
	if err != nil {
		return failure{exitUsage, err.Error()}
	}
	defer s.kafka.Close()
	if err := s.seekToEnds(ctx); err != nil {
		return err
	}
	s.prefix = fmt.Sprintf("%s-%x-", s.device, time.Now().UnixNano())
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	go s.send(ctx, fail)
	return s.collect(ctx)
}

// seekToEnds begins to read where the topics of answers end now: none is missed, and no old one is read.
func (s *session) seekToEnds(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if err := s.kafka.Ping(ctx); err != nil {
		return failure{exitUnavailable, fmt.Sprintf("no Kafka broker at %s (%v): name yours with -brokers", s.brokers, err)}
	}
	ends, err := kadm.NewClient(s.kafka).ListEndOffsets(ctx, s.requests, s.predictions, s.deadLetters)
	if err = cmp.Or(err, ends.Error()); err != nil {
		return explained("looking up the topics", err)
	}
	offsets := ends.KOffsets()
	delete(offsets, s.requests)
	s.kafka.AddConsumePartitions(offsets)
	return nil
}

func (s *session) send(ctx context.Context, fail context.CancelCauseFunc) {
	for n := range s.count {
		headers := []kgo.RecordHeader{
			{Key: "request-id", Value: []byte(s.prefix + strconv.Itoa(n))},
			{Key: "created-ns", Value: strconv.AppendInt(nil, time.Now().UnixNano(), 10)},
		}
		if label, isKnown := s.label(n); isKnown {
			headers = append(headers, kgo.RecordHeader{Key: "true-label", Value: strconv.AppendInt(nil, int64(label), 10)})
		}
		image := s.images[n%len(s.images)]
		record := &kgo.Record{Topic: s.requests, Key: []byte(s.device), Value: image, Headers: headers}
		s.kafka.Produce(ctx, record, func(_ *kgo.Record, err error) {
			if err != nil {
				fail(explained("writing to "+s.requests, err))
			}
		})
		select {
		case <-ctx.Done():
			return
		case <-time.After(s.interval):
		}
	}
}

// collect prints answers until all are there, or time is up.
func (s *session) collect(ctx context.Context) error {
	seen := newTally(s)
	limit, cancel := context.WithTimeout(ctx, time.Duration(s.count)*s.interval+s.timeout)
	defer cancel()
	for len(seen.done) < s.count && limit.Err() == nil {
		fetches := s.kafka.PollFetches(limit)
		if failed := fetches.Errors(); len(failed) > 0 && limit.Err() == nil {
			return explained("reading "+failed[0].Topic, failed[0].Err)
		}
		fetches.EachRecord(seen.add)
	}
	fmt.Println(seen)
	missing := s.count - len(seen.done)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case missing > 0:
		return failure{exitUnavailable, fmt.Sprintf("%d answers did not come in time: is a classifier running?", missing)}
	case seen.rejected > 0:
		return failure{exitBadData, fmt.Sprintf("%d requests were rejected, for the reasons above", seen.rejected)}
	}
	return nil
}

// explained adds to one of Kafka's errors what to do about it.
func explained(doing string, err error) error {
	for known, advice := range map[error]failure{
		kerr.UnknownTopicOrPartition:  {exitNoTopic, "start a classifier, which creates the topics"},
		kerr.TopicAuthorizationFailed: {exitNotAuthorised, "ask whoever runs the broker for WRITE or READ on the topic"},
		kerr.MessageTooLarge:          {exitBadData, "send smaller images"},
	} {
		if errors.Is(err, known) {
			return failure{advice.code, fmt.Sprintf("%s: %v: %s", doing, err, advice.text)}
		}
	}
	return failure{exitUnavailable, fmt.Sprintf("%s: %v", doing, err)}
}

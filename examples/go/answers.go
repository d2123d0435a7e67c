package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/twmb/franz-go/pkg/kgo"
)

// prediction is that part of an answer's JSON which is shown.
type prediction struct {
	ID         string
	Class      int
	Label      string
	Confidence float64
}

// tally is what has come back; done holds the numbers of requests that need no further answer.
type tally struct {
	session      *session
	done         map[int]bool
	rejected     int
	right, known int
	roundTrips   []time.Duration
}

func newTally(s *session) *tally { return &tally{session: s, done: map[int]bool{}} }

// add takes one record of the topics of predictions and of dead letters; others' and repeated ones are passed over.
func (t *tally) add(record *kgo.Record) {
	if record.Topic == t.session.deadLetters {
		if n, isNew := t.number(header(record, "request-id")); isNew {
			t.done[n], t.rejected = true, t.rejected+1
			fmt.Printf("%6d  rejected: %s\n", n, printable(header(record, "__connect.errors.exception.message")))
		}
		return
	}
	var p prediction
	if json.Unmarshal(record.Value, &p) != nil {
		return // somebody else's record
	}
	n, isNew := t.number(p.ID)
	if !isNew {
		return
	}
	t.done[n] = true
	created, _ := strconv.ParseInt(header(record, "created-ns"), 10, 64) // as we wrote it
	roundTrip := time.Since(time.Unix(0, created))
	t.roundTrips = append(t.roundTrips, roundTrip)
	fmt.Printf("%6d  %-12s %6.2f %% %8.1f ms%s\n", n, printable(p.Label), 100*p.Confidence, ms(roundTrip), t.judge(n, p.Class))
}

// number is that of the request with this id, and whether it is ours and waits for its answer.
func (t *tally) number(id string) (n int, isNew bool) {
	digits, isOurs := strings.CutPrefix(id, t.session.prefix)
	n, err := strconv.Atoi(digits)
	return n, isOurs && err == nil && 0 <= n && n < t.session.count && !t.done[n]
}

func (t *tally) judge(n, class int) string {
	label, isKnown := t.session.label(n)
	if !isKnown {
		return ""
	}
	t.known++
	if class != label {
		return fmt.Sprintf("  wrong, it is class %d", label)
	}
	t.right++
	return "  right"
}

// String is the summary of all that has come.
func (t *tally) String() string {
	text := fmt.Sprintf("%d of %d requests answered, %d rejected", len(t.roundTrips), t.session.count, t.rejected)
	if t.known > 0 {
		text += fmt.Sprintf(", accuracy %.4f (%d of %d)", float64(t.right)/float64(t.known), t.right, t.known)
	}
	if count := len(t.roundTrips); count > 0 {
		slices.Sort(t.roundTrips)
		text += fmt.Sprintf(", round trip %.1f ms (median), %.1f ms (longest)", ms(t.roundTrips[count/2]), ms(t.roundTrips[count-1]))
	}
	return text
}

func header(record *kgo.Record, name string) string {
	for _, h := range record.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// printable replaces what could steer a terminal: anybody may write to a topic.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, text)
}

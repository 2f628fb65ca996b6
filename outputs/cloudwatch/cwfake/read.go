package cwfake

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// The most that one page of the reading operations holds (API reference).
const (
	maxDescribed = 50
	maxRead      = 10_000
	maxReadBytes = 1 << 20
)

type groupAnswer struct {
	ARN       string `json:"arn"`
	GroupARN  string `json:"logGroupArn"`
	Name      string `json:"logGroupName"`
	Created   int64  `json:"creationTime"`
	Retention int    `json:"retentionInDays,omitempty"`
	Class     string `json:"logGroupClass"`
	KMSKey    string `json:"kmsKeyId,omitempty"`
}

// describeLogGroups lists groups by name.
func (s *Server) describeLogGroups(t Target, in input) (any, error) {
	a := s.account
	a.mu.Lock()
	defer a.mu.Unlock()
	all := []groupAnswer{}
	for key, g := range a.groups {
		if key.region != t.Region || !strings.HasPrefix(key.name, in.GroupPrefix) || !strings.Contains(key.name, in.Pattern) {
			continue
		}
		arn := a.arn(key.region, key.name)
		all = append(all, groupAnswer{
			arn + ":*", arn, key.name, g.Created.UnixMilli(), g.Retention, g.Class, g.KMSKey,
		})
	}
	slices.SortFunc(all, func(x, y groupAnswer) int { return cmp.Compare(x.Name, y.Name) })
	page, next, err := pageOf(all, in)
	return struct {
		Groups []groupAnswer `json:"logGroups"`
		Next   string        `json:"nextToken,omitempty"`
	}{page, next}, err
}

type streamAnswer struct {
	ARN      string `json:"arn"`
	Name     string `json:"logStreamName"`
	Created  int64  `json:"creationTime"`
	First    *int64 `json:"firstEventTimestamp,omitempty"`
	Last     *int64 `json:"lastEventTimestamp,omitempty"`
	Ingested *int64 `json:"lastIngestionTime,omitempty"`
	Token    string `json:"uploadSequenceToken"`
}

// describeLogStreams lists a group's streams, by name or by their last event.
func (s *Server) describeLogStreams(t Target, in input) (any, error) {
	a := s.account
	a.mu.Lock()
	defer a.mu.Unlock()
	name := cmp.Or(in.Group, strings.TrimPrefix(in.GroupID, a.arn(t.Region, "")))
	g, err := a.find(t.Region, name)
	if err != nil {
		return nil, err
	}
	if in.OrderBy == "LastEventTime" && in.Prefix != "" {
		return nil, invalidf("Cannot order by LastEventTime with a logStreamNamePrefix.")
	}
	all := []streamAnswer{}
	for _, name := range slices.Sorted(maps.Keys(g.streams)) {
		if strings.HasPrefix(name, in.Prefix) {
			st := g.streams[name]
			answer := streamAnswer{
				ARN: a.arn(t.Region, g.Name) + ":log-stream:" + name, Name: name, Created: st.created.UnixMilli(), Token: "4966",
			}
			answer.First, answer.Last, answer.Ingested = st.log.times(st.from)
			all = append(all, answer)
		}
	}
	if in.OrderBy == "LastEventTime" {
		last := func(a streamAnswer) int64 {
			if a.Last == nil {
				return 0
			}
			return *a.Last
		}
		slices.SortStableFunc(all, func(x, y streamAnswer) int { return cmp.Compare(last(x), last(y)) })
	}
	if in.Descending {
		slices.Reverse(all)
	}
	page, next, err := pageOf(all, in)
	return struct {
		Streams []streamAnswer `json:"logStreams"`
		Next    string         `json:"nextToken,omitempty"`
	}{page, next}, err
}

// pageOf cuts the page out of all that the token begins; a token is where.
func pageOf[T any](all []T, in input) (page []T, next string, err error) {
	from, limit := 0, maxDescribed
	if in.Token != "" {
		if from, err = strconv.Atoi(in.Token); err != nil || from < 0 || from > len(all) {
			return nil, "", invalidf("The specified nextToken is invalid.")
		}
	}
	if in.Limit != nil {
		if limit = *in.Limit; limit < 1 || limit > maxDescribed {
			return nil, "", invalidf("1 validation error detected: Value '%d' at 'limit' failed to satisfy constraint", limit)
		}
	}
	end := min(from+limit, len(all))
	if end < len(all) {
		next = strconv.Itoa(end)
	}
	return all[from:end], next, nil
}

type eventAnswer struct {
	Ingested int64  `json:"ingestionTime"`
	Message  string `json:"message"`
	At       int64  `json:"timestamp"`
}

// getLogEvents reads a stream's events by time, then in the order in which they were put, page by page. Tokens are f/N
// and b/N: forward from the N-th event, backward to it.
func (s *Server) getLogEvents(t Target, in input) (any, error) {
	t.Group = cmp.Or(in.Group, strings.TrimPrefix(in.GroupID, s.account.arn(t.Region, "")))
	all, err := s.alive(t)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(e Event) bool {
		return in.From != nil && e.Timestamp < *in.From || in.To != nil && e.Timestamp >= *in.To
	})
	slices.SortStableFunc(all, func(x, y Event) int { return cmp.Compare(x.Timestamp, y.Timestamp) })
	limit := maxRead
	if in.Limit != nil {
		if limit = *in.Limit; limit < 1 || limit > maxRead {
			return nil, invalidf("1 validation error detected: Value '%d' at 'limit' failed to satisfy constraint", limit)
		}
	}
	forward, at := in.FromHead, 0
	if !forward {
		at = len(all)
	}
	if in.Token != "" {
		way, n, _ := strings.Cut(in.Token, "/")
		if at, err = strconv.Atoi(n); err != nil || way != "f" && way != "b" || at < 0 {
			return nil, invalidf("The specified nextToken is invalid.")
		}
		forward, at = way == "f", min(at, len(all))
	}
	from, end := pageAround(all, at, limit, forward)
	answer := struct {
		Events   []eventAnswer `json:"events"`
		Backward string        `json:"nextBackwardToken"`
		Forward  string        `json:"nextForwardToken"`
	}{[]eventAnswer{}, "b/" + strconv.Itoa(from), "f/" + strconv.Itoa(end)}
	for _, e := range all[from:end] {
		answer.Events = append(answer.Events, eventAnswer{e.Ingested, e.Message, e.Timestamp})
	}
	return answer, nil
}

// pageAround is the page from at forward, or backward to it, of at most limit events and 1 MiB, but one at least.
func pageAround(all []Event, at, limit int, forward bool) (from, end int) {
	from, end = at, at
	for size := 0; end-from < limit; {
		next, out := end, end == len(all)
		if !forward {
			next, out = from-1, from == 0
		}
		if out {
			break
		}
		size += len(all[next].Message) + EventOverhead
		if size > maxReadBytes && end > from {
			break
		}
		if forward {
			end++
		} else {
			from--
		}
	}
	return from, end
}

// alive gives the events of a stream's present life.
func (s *Server) alive(t Target) ([]Event, error) {
	a := s.account
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.find(t.Region, t.Group)
	if err != nil {
		return nil, err
	}
	st := g.streams[t.Stream]
	if st == nil {
		return nil, invalid(codeNotFound, "The specified log stream does not exist.")
	}
	return st.log.since(st.from), nil
}

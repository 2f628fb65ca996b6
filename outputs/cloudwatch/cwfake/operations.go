package cwfake

import (
	"encoding/json"
	"unicode/utf8"
)

// An input is the members that the operations other than PutLogEvents take, all together.
type input struct {
	Group       string            `json:"logGroupName"`
	GroupID     string            `json:"logGroupIdentifier"`
	Stream      string            `json:"logStreamName"`
	Class       string            `json:"logGroupClass"`
	KMSKey      string            `json:"kmsKeyId"`
	Tags        map[string]string `json:"tags"`
	ARN         string            `json:"resourceArn"`
	Days        int               `json:"retentionInDays"`
	GroupPrefix string            `json:"logGroupNamePrefix"`
	Pattern     string            `json:"logGroupNamePattern"`
	Prefix      string            `json:"logStreamNamePrefix"`
	OrderBy     string            `json:"orderBy"`
	Descending  bool              `json:"descending"`
	Limit       *int              `json:"limit"`
	Token       string            `json:"nextToken"`
	FromHead    bool              `json:"startFromHead"`
	From        *int64            `json:"startTime"`
	To          *int64            `json:"endTime"`
}

// decode reads the request's text, and gives what carries it out.
func (s *Server) decode(q *request) (func() (any, error), error) {
	if q.call.Operation == PutLogEvents {
		return s.decodePut(q)
	}
	deeds := map[Operation]func(Target, input) (any, error){
		CreateLogGroup:     s.createLogGroup,
		CreateLogStream:    s.createLogStream,
		PutRetentionPolicy: s.putRetentionPolicy,
		TagResource:        s.tagResource,
		DescribeLogGroups:  s.describeLogGroups,
		DescribeLogStreams: s.describeLogStreams,
		GetLogEvents:       s.getLogEvents,
	}
	deed, ok := deeds[q.call.Operation]
	if !ok {
		return nil, invalid(codeUnknownOperation, "cwfake does not know this operation.")
	}
	var in input
	if !utf8.Valid(q.text) || json.Unmarshal(q.text, &in) != nil {
		return nil, invalid(codeSerialization, "The body is not the operation's JSON.")
	}
	t := &q.call.Target
	t.Group, t.Stream = in.Group, in.Stream
	return func() (any, error) { return deed(*t, in) }, nil
}

func (s *Server) createLogGroup(t Target, in input) (any, error) {
	return nil, s.account.createGroup(Group{
		Region: t.Region, Name: t.Group, Class: in.Class, KMSKey: in.KMSKey, Tags: in.Tags,
	})
}

func (s *Server) createLogStream(t Target, _ input) (any, error) {
	return nil, s.account.createStream(t, s.ledger.log(t))
}

func (s *Server) putRetentionPolicy(t Target, in input) (any, error) {
	if err := checkGroup(t.Group); err != nil {
		return nil, err
	}
	return nil, s.account.retain(t.Region, t.Group, in.Days)
}

func (s *Server) tagResource(t Target, in input) (any, error) {
	return nil, s.account.tag(t.Region, in.ARN, in.Tags)
}

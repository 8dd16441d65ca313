package client

import (
	"context"
	"net/url"
	"time"
)

// Job is a change that was begun, as far as it is watched.
type Job struct {
	ID           string  `json:"id"`
	Kind         string  `json:"kind"`
	Title        string  `json:"title"`
	State        string  `json:"state"`
	Progress     float64 `json:"progress"`
	ProgressText string  `json:"progress_text"`
	Resource     struct {
		Kind string `json:"kind"`
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"resource"`
	Error *struct {
		Code    string   `json:"code"`
		Message string   `json:"message"`
		Fix     string   `json:"fix"`
		Reasons []Reason `json:"reasons"`
	} `json:"error"`
	Help    string `json:"help"`
	Choices []struct {
		Name string `json:"name"`
		Does string `json:"does"`
	} `json:"choices"`
	Steps []struct {
		Name  string `json:"name"`
		State string `json:"state"`
	} `json:"steps"`
	CreatedAt time.Time `json:"created_at"`
}

// Ended says whether the job goes no further by itself.
func (j *Job) Ended() bool {
	return j.State == "succeeded" || j.State == "undone" || j.State == "stuck"
}

// look is how long the server holds one question about a job: progress is seen this often.
const look = "1s"

// Wait follows a job to its end and tells each state of it. The end of ctx ends the waiting, not the job.
func (c *Client) Wait(ctx context.Context, id string, tell func(Job)) (Job, error) {
	for {
		var j Job
		if err := c.Get(ctx, Call{Op: "get-job", Path: []string{id}, Query: url.Values{"wait": {look}}}, &j); err != nil {
			return j, err
		}
		if tell != nil {
			tell(j)
		}
		if j.Ended() {
			return j, nil
		}
	}
}

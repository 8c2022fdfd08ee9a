package dash

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/batch-go/batch"
)

// editPage is the form for another body.
type editPage struct {
	ID, RawID, Cursor, Kind, ContentType, Error string
	Text                                        string
	// Digest is that of the dead letter as the form shows it.
	Digest string
	Cost   string
	// Expired tells that the job will be too late to run.
	Expired bool
	// Wrong says what is wrong with the text that was sent.
	Wrong *problem
}

// editHold is how long a job is held back that [batch.RedriveWithBody] has stored.
const editHold = 5 * time.Second

// showEdit answers with the form for another body of a dead letter.
func (s *site) showEdit(r *request) {
	ctx, cancel := s.within(r)
	defer cancel()
	e, err := s.editable(ctx, r)
	if err != nil {
		s.fail(r, err)
		return
	}
	s.showForm(r, http.StatusOK, &e, string(e.Body), nil)
}

// showForm answers with the form. The text is that of a body that can be edited, or what was typed: it goes back as it is,
// since a mark for a character that is not seen would be stored with the next try.
func (s *site) showForm(r *request, code int, e *batch.Entry, text string, wrong *problem) {
	p := &editPage{
		ID: line(e.ID, 128), RawID: e.ID, Cursor: r.FormValue("cursor"), Kind: line(e.Kind, 128), ContentType: line(e.ContentType, 128),
		Error: printable(e.LastError), Text: text, Digest: digest(e), Cost: readCost(r.queue), Expired: expired(e, editHold), Wrong: wrong,
	}
	f := s.frameOf(r, "Edit and redrive "+p.ID, p)
	f.Tab = "dead"
	s.show(r, code, "edit", f)
}

// editable finds the dead letter that a request names, if its body may be seen and can be edited.
func (s *site) editable(ctx context.Context, r *request) (batch.Entry, error) {
	if !r.queue.CanImport() {
		return batch.Entry{}, refuse(http.StatusNotImplemented, "This broker cannot do that", "It does not take a job with its history, which an edit needs.")
	}
	if !s.acts() {
		return batch.Entry{}, s.authorize(r.Request, Intent{})
	}
	if err := s.mayRead(r, r.FormValue("id")); err != nil {
		return batch.Entry{}, err
	}
	e, err := s.find(ctx, r, batch.StateDead)
	if err != nil {
		return e, err
	}
	if why := uneditable(e.Body); why != "" {
		return e, refuse(http.StatusUnprocessableEntity, "This body cannot be edited here", "Job %s stays as it is: %s. A program can do it with batch.RedriveWithBody.", line(e.ID, 128), why)
	}
	return e, nil
}

// digest tells whether a dead letter is the one that a form was made for: another may have its ID by now.
func digest(e *batch.Entry) string {
	h := sha256.New()
	h.Write([]byte(e.ID + "\x00" + e.Kind + "\x00" + e.DeadAt.UTC().String() + "\x00"))
	h.Write(e.Body)
	return hex.EncodeToString(h.Sum(nil))
}

// edited is the body that a form brings: a form sends its line ends as CR LF.
func edited(r *http.Request) string { return strings.ReplaceAll(r.Form.Get("body"), "\r\n", "\n") }

// sound tells whether the body of a form can be right. If it cannot, the answer is the form again, with what is wrong.
func (s *site) sound(r *request) bool {
	text := edited(r.Request)
	ctx, cancel := s.within(r)
	defer cancel()
	e, err := s.editable(ctx, r)
	if err != nil {
		s.fail(r, err)
		return false
	}
	switch {
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		s.showForm(r, http.StatusUnprocessableEntity, &e, printable(text), refuse(0, "Not redriven", "The body is not text in UTF-8."))
	case len(text) > maxEdit:
		s.showForm(r, http.StatusUnprocessableEntity, &e, text, refuse(0, "Not redriven", "The body is larger than %s.", size(maxEdit)))
	case isJSON(e.ContentType) && !json.Valid([]byte(text)):
		s.showForm(r, http.StatusUnprocessableEntity, &e, text, refuse(0, "Not redriven", "The body is not JSON: %v.", json.Unmarshal([]byte(text), new(any))))
	default:
		return true
	}
	return false
}

// edit redrives the dead letter of an order with the body of its form, if it is still the one that the form showed. The job
// is stored with the new body before the dead letter is discarded: nothing is lost, and an error says if both are there.
// A second one of the same dead letter, as a double click sends it, would find it, too, and store the job twice.
func (s *site) edit(ctx context.Context, r *request, o *order) error {
	key := [2]string{r.queue.Name(), o.IDs[0]}
	if _, busy := s.edits.LoadOrStore(key, true); busy {
		return refuse(http.StatusConflict, "It is being redriven", "Another edit of job %s is under way, perhaps by a double click. This one has done nothing.", line(o.IDs[0], 128))
	}
	defer s.edits.Delete(key)
	e, err := s.find(ctx, r, batch.StateDead)
	if err != nil {
		return err
	}
	if digest(&e) != r.Form.Get("digest") {
		return refuse(http.StatusConflict, "The dead letter has changed", "Job %s died again or was replaced since the form was opened. Open it again. Nothing was done.", line(o.IDs[0], 128))
	}
	dead := batch.DeadLetter{
		Message: e.Message, Failures: e.Failures, LastError: e.LastError, Bounces: e.Bounces, BouncedSince: e.BouncedSince,
		Deliveries: e.Deliveries, Reason: e.Reason, DeadAt: e.DeadAt,
	}
	return r.queue.RedriveWithBody(ctx, dead, []byte(edited(r.Request)))
}

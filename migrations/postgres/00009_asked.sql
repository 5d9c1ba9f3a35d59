-- +goose Up

-- A user asked for the message: it waits for nobody, and waits out no quiet
-- hours. Nothing but the asking writes it, so that no postponement forgets it.
ALTER TABLE digests ADD COLUMN asked BOOLEAN NOT NULL DEFAULT FALSE;
UPDATE digests SET asked = TRUE WHERE reason = 'asked' AND due_at IS NOT NULL;
CREATE INDEX digests_asked ON digests (due_at) WHERE asked AND due_at IS NOT NULL;

-- Each application has its share of what is sent next, whoever is due longest.
DROP INDEX digests_due;
CREATE INDEX digests_due ON digests (application_id, due_at) WHERE due_at IS NOT NULL;

-- +goose Down

DROP INDEX digests_due;
CREATE INDEX digests_due ON digests (due_at) WHERE due_at IS NOT NULL;
DROP INDEX digests_asked;
ALTER TABLE digests DROP COLUMN asked;

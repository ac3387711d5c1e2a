//! [`Text`] to the language it is surely in.
//!
//! Deliberately says nothing when unsure: a document is sent to review for its language only where
//! there is hardly a doubt. Reads a sample, so that a long text costs no more than a short one.

use whatlang::{Detector, Lang};

use crate::types::Text;

/// Letters that the sample holds at most.
const SAMPLE_LETTERS_MAX: usize = 4_000;

/// Letters below which nothing is said.
const SAMPLE_LETTERS_MIN: usize = 60;

/// The language of `text` (ISO 639-1), where it is reliable.
pub fn language(text: &Text) -> Option<&'static str> {
    let sample = sample(text.as_str());
    if sample.letters < SAMPLE_LETTERS_MIN {
        return None;
    }
    let found = Detector::new().detect(&sample.words).filter(whatlang::Info::is_reliable)?;
    code(found.lang())
}

struct Sample {
    words: String,
    letters: usize,
}

fn sample(text: &str) -> Sample {
    let mut sample = Sample { words: String::new(), letters: 0 };
    for word in text.split_whitespace() {
        if sample.letters >= SAMPLE_LETTERS_MAX {
            break;
        }
        sample.letters += word.chars().filter(|character| character.is_alphabetic()).count();
        sample.words.push_str(word);
        sample.words.push(' ');
    }
    sample
}

/// The two-letter code (ISO 639-1) of a language of `whatlang`, which has three letters (ISO
/// 639-3); every language that it knows has one.
fn code(language: Lang) -> Option<&'static str> {
    let three = language.code();
    CODES.split(' ').find_map(|pair| pair.strip_suffix(three)?.strip_suffix('='))
}

/// `ISO 639-1=ISO 639-3`.
const CODES: &str = "af=afr ak=aka am=amh ar=ara az=aze be=bel bg=bul bn=ben ca=cat cs=ces cy=cym \
                     da=dan de=deu el=ell en=eng eo=epo es=spa et=est fa=pes fi=fin fr=fra gu=guj \
                     he=heb hi=hin hr=hrv hu=hun hy=hye id=ind it=ita ja=jpn jv=jav ka=kat km=khm \
                     kn=kan ko=kor la=lat lt=lit lv=lav mk=mkd ml=mal mr=mar my=mya nb=nob ne=nep \
                     nl=nld or=ori pa=pan pl=pol pt=por ro=ron ru=rus si=sin sk=slk sl=slv sn=sna \
                     sr=srp sv=swe ta=tam te=tel th=tha tk=tuk tl=tgl tr=tur uk=ukr ur=urd uz=uzb \
                     vi=vie yi=yid zh=cmn zu=zul";

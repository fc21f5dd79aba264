//! Writes every mail with sample data into a folder: `cargo run -p notifications --features preview
//! --bin preview -- <folder>`, then open its `index.html`.

use std::{error::Error, fs, path::PathBuf};

use notifications::templates::{RenderedEmail, Shop, link, notice, order, stock};
use serde_json::json;

/// The shop that sends the sample mails.
const SHOP: Shop<'_> = Shop { name: "Ferrocart", url: "https://shop.example.com" };

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("name a folder for the mails")?);
    fs::create_dir_all(&folder)?;
    let mut index = String::from("<!DOCTYPE html>\n<title>The mails of Ferrocart</title>\n<ul>\n");
    for mail in mails()? {
        let RenderedEmail { template, subject, html, text, .. } = mail;
        fs::write(folder.join(format!("{template}.html")), html)?;
        fs::write(folder.join(format!("{template}.txt")), text)?;
        index.push_str(&format!("<li><a href=\"{template}.html\">{subject}</a> (<a href=\"{template}.txt\">as text</a>)</li>\n"));
    }
    index.push_str("</ul>\n");
    fs::write(folder.join("index.html"), index)?;
    Ok(())
}

/// One mail from each template.
fn mails() -> Result<Vec<RenderedEmail>, Box<dyn Error>> {
    let low = serde_json::from_value(json!({
        "product_id": "prd_0199c2a8-0000-7000-8000-00000000000a",
        "sku": "SPOON-OAK",
        "available": 3,
        "threshold": 5,
    }))?;
    let expires_at = "2026-11-21T10:48:49.123Z".parse()?;
    let mut mails = Vec::new();
    for template in order::Template::ALL {
        mails.push(order::render(template, "Ada Lovelace", &context(template)?, SHOP)?);
    }
    for template in stock::Template::ALL {
        mails.push(stock::render(template, "Operator", &low, SHOP)?);
    }
    for template in link::Template::ALL {
        mails.push(link::render(template, "the-token-of-a-sample", expires_at, SHOP)?);
    }
    for template in notice::Template::ALL {
        mails.push(notice::render(template, SHOP)?);
    }
    Ok(mails)
}

/// Sample data of an order mail, with a reason if the template uses one.
fn context(template: order::Template) -> Result<order::Context, serde_json::Error> {
    let reason = match template {
        order::Template::OrderFailed => Some("out_of_stock"),
        order::Template::OrderCancelled => Some("not_paid_in_time"),
        order::Template::PaymentDeclined => Some("insufficient_funds"),
        _ => None,
    };
    serde_json::from_value(json!({
        "order_id": "ord_0199c2a8-0000-7000-8000-0000000000f1",
        "total": { "amount": 8497, "currency": "USD" },
        "items": [
            { "name": "Oak spoon", "quantity": 2, "line_total": { "amount": 5998, "currency": "USD" } },
            { "name": "Tea, \"first flush\" & fresh", "quantity": 1, "line_total": { "amount": 2499, "currency": "USD" } },
        ],
        "reason": reason,
        "carrier": "Parcel & Co",
        "tracking": "PC-2026-1121",
        "refund": { "amount": 1000, "currency": "USD" },
        "refunded": { "amount": 2499, "currency": "USD" },
        "unavailable": reason.filter(|reason| *reason == "out_of_stock").map(|_| "Oak spoon"),
    }))
}
